"""The data sources of texts and sequences: windows of text, pairs of lines, tasks with answers."""

from __future__ import annotations

from .signature import Option, Problem, Signature
from .source_kinds import COMMON, Field, Settings, Source, two_parts

BYTES = 256
"""Entries of the vocabulary `bytes`: 0 and 1, which no text uses, end and begin a document."""

LEAST = 258
"""A byte-pair encoding has the bytes, and the end and beginning of a document."""

WHOLE = ("i64",)
COMMON_OF_TEXTS = tuple(
    option
    for option in COMMON
    if option.name not in ("stratify", "normalise", "normalise_target", "split", "fold")
)
SPLIT = Option("split", "split", None, "the parts for training and for testing")
BY = Option(
    "by", "word", None, "what split divides; files where there are several", ("files", "tail")
)
LENGTH = Option("length", "integer", 128, "tokens in a window", low=1, high=1 << 20)
PACK = Option("pack", "boolean", True, "windows run across documents; false: each by itself")
LEARNT = ("bytes", "bpe", "words")
MASKED = Option("masked", "number", None, "the share of tokens that are covered, to be guessed")
VOCABULARY = (
    Option("vocabulary", "text", "bytes", "bytes, bpe, words, or the file of one", LEARNT),
    Option("size", "integer", 8192, "entries that bpe or words learn at most", low=4, high=1 << 20),
    Option("least", "integer", 1, "words that occur less often are unknown", low=1),
    Option("lowercase", "boolean", False, "words in small letters"),
    Option("marks", "boolean", True, "marks are words; false: words stand between blanks"),
)


def _text_fields(settings: Settings) -> tuple[Field, ...]:
    entries = _entries(settings)
    shape = ("B", settings["length"])
    answers = "next" if settings["masked"] is None else "covered"
    return (
        Field("tokens", "i32", shape, WHOLE, entries),
        Field(answers, "i32", shape, WHOLE, entries),
        Field("documents", "i32", shape, WHOLE),
    )


def _pair_fields(settings: Settings) -> tuple[Field, ...]:
    return _both_sides(settings["length"], settings["length"], _entries(settings))


def _sequence_fields(settings: Settings) -> tuple[Field, ...]:
    longest = _lengths(settings)[1]
    return _both_sides(longest, longest + 1, settings["symbols"] + 2)


def _both_sides(source: int, target: int, entries: int | None) -> tuple[Field, ...]:
    return (
        Field("source", "i32", ("B", source), WHOLE, entries),
        Field("target", "i32", ("B", target), WHOLE, entries),
        Field("next", "i32", ("B", target), WHOLE, entries),
        Field("mask", "bool", ("B", source), ("f32",)),
    )


def _entries(settings: Settings) -> int | None:
    """The entries of the vocabulary, where no file says it.

    An encoding that is trained may end up smaller than it was allowed to be.
    """
    size = settings.get("size")
    known = {"bytes": BYTES, "bpe": size, "words": size}
    return known.get(settings.get("vocabulary", ""))


def _lengths(settings: Settings) -> tuple[int, int]:
    length = settings["length"]
    return (length, length) if isinstance(length, int) else (length[0], length[-1])


def _text_problems(settings: Settings) -> list[Problem]:
    problems = [*two_parts(settings), *_vocabulary_problems(settings)]
    if settings["by"] is not None and settings["split"] is None:
        problems.append(Problem("`by` says what `split` divides, and there is none", None, "by"))
    return [*problems, *_masked_problems(settings)]


def _token_problems(settings: Settings) -> list[Problem]:
    problems = [*two_parts(settings), *_masked_problems(settings)]
    if settings["masked"] is not None and settings["vocabulary"] is None:
        text = "`masked` needs the `vocabulary` of the tokens"
        problems.append(Problem(text, 'name its file: vocabulary="tokenizer.json"', "masked"))
    return problems


def _masked_problems(settings: Settings) -> list[Problem]:
    share = settings["masked"]
    if share is None or 0 < share < 1:
        return []
    return [Problem("`masked` is a share between 0 and 1", "such as masked=0.15", "masked")]


def _vocabulary_problems(settings: Settings) -> list[Problem]:
    chosen = settings["vocabulary"]
    problems = []
    if chosen == "bpe" and settings["size"] < LEAST:
        text = f"`size` is {settings['size']}, byte pairs need at least {LEAST}"
        problems.append(Problem(text, "256 bytes, and the end and beginning of a text", "size"))
    if chosen != "words":
        of_words = {"least": 1, "lowercase": False, "marks": True}
        problems += [
            Problem(f"`{name}` is a setting of vocabulary=words", "leave it out", name)
            for name, default in of_words.items()
            if settings[name] != default
        ]
    if chosen not in LEARNT and not chosen.endswith(".json"):
        hint = 'bytes, bpe, words, or a file such as "tokenizer.json"'
        problems.append(Problem(f"there is no vocabulary `{chosen}`", hint, "vocabulary"))
    return problems


def _pair_problems(settings: Settings) -> list[Problem]:
    return [*two_parts(settings), *_vocabulary_problems(settings)]


def _sequence_problems(settings: Settings) -> list[Problem]:
    length = settings["length"]
    low, high = _lengths(settings)
    if isinstance(length, list) and len(length) != 2:
        return [Problem("`length` is one number, or [shortest, longest]", None, "length")]
    if low > high:
        return [Problem("`length` goes from the shortest to the longest", None, "length")]
    if settings["samples"] * high > 1 << 28:
        hint = "make fewer, or shorter ones"
        return [Problem(f"{settings['samples']:,} sequences are too many", hint, "samples")]
    return []


TEXT_SOURCES = (
    Source(
        Signature(
            "text",
            (
                Option("path", "text|texts", None, "files, folders or patterns", required=True),
                LENGTH,
                *VOCABULARY,
                Option("suffix", "text|texts", None, "ends of the names of files in folders"),
                Option("test", "text|texts", None, "files and folders that are held out"),
                BY,
                PACK,
                MASKED,
                SPLIT,
                *COMMON_OF_TEXTS,
            ),
            "windows of text, and the token that follows each",
        ),
        _text_fields,
        _text_problems,
    ),
    Source(
        Signature(
            "stdlib",
            (LENGTH, *VOCABULARY, BY, PACK, MASKED, SPLIT, *COMMON_OF_TEXTS),
            "the source of Python's standard library, a text that every machine has",
        ),
        _text_fields,
        _text_problems,
    ),
    Source(
        Signature(
            "tokens",
            (
                Option("path", "text|texts", None, ".npy or .bin files of tokens", required=True),
                LENGTH,
                Option("dtype", "word", "u16", "the numbers in a .bin file", ("u16", "u32")),
                Option("test", "text|texts", None, "the files of the held-out part"),
                Option("end", "integer", None, "the token that ends a document", low=0),
                Option("vocabulary", "text", None, "the file of their vocabulary"),
                MASKED,
                SPLIT,
                *COMMON_OF_TEXTS,
            ),
            "windows of tokens that were made before, read where they lie",
        ),
        lambda settings: _text_fields({**settings, "vocabulary": ""}),
        _token_problems,
    ),
    Source(
        Signature(
            "pairs",
            (
                Option("path", "text", None, "lines: source, tab, target", required=True),
                LENGTH,
                *VOCABULARY,
                Option("longer", "word", "error", "what is too long", ("error", "cut", "drop")),
                Option("test", "text", None, "the file of the held-out part"),
                SPLIT,
                *COMMON_OF_TEXTS,
            ),
            "pairs of lines, such as sentences in two languages",
        ),
        _pair_fields,
        _pair_problems,
    ),
    Source(
        Signature(
            "sequences",
            (
                Option(
                    "task", "word", None, "what the answer is", ("reverse", "sort", "copy"), True
                ),
                Option("length", "integer|integers", [4, 16], "from and to", low=1, high=4096),
                Option("symbols", "integer", 16, "how many different ones", low=2, high=30_000),
                Option("samples", "integer", 10_000, "how many sequences", low=2),
                Option("split", "split", 0.9, "the parts for training and for testing"),
                *COMMON_OF_TEXTS,
            ),
            "generated sequences, and the same reversed, sorted or copied",
        ),
        _sequence_fields,
        _sequence_problems,
    ),
)
