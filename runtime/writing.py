"""What `weft sample` and `sample.py` of a package share: options, prompts, text as it comes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..spec.errors import UsageError
from .until import Until

if TYPE_CHECKING:
    from .data.vocabulary import Vocabulary
    from .decoders import Sampling
    from .sampler import Choice
    from .writers import Writer

DONE = 0


def add_writing(parser: argparse.ArgumentParser) -> None:
    """The options that say what is written and how."""
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--prompt", metavar="TEXT", help="what it goes on from; - reads stdin")
    start.add_argument("--tokens", metavar="N,N,…", help="the same as numbers")
    parser.add_argument("--source", metavar="TEXT", help="what an encoder reads")
    parser.add_argument("--length", type=int, metavar="N", help="at most so many tokens (200)")
    parser.add_argument(
        "--slide", action="store_true", help="beyond the net's positions, from the last half"
    )
    parser.add_argument(
        "--window", type=int, metavar="N", help="slide as if the net had only N positions"
    )
    parser.add_argument("-n", "--samples", type=int, default=1, metavar="N", help="how many")
    how = parser.add_argument_group("choice of the next token")
    how.add_argument("--temperature", type=float, default=1.0, metavar="X", help="0 is greedy")
    how.add_argument("--top-k", type=int, metavar="N", help="among the N likeliest")
    how.add_argument("--top-p", type=float, metavar="P", help="among those that make up P")
    how.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X")
    how.add_argument("--beams", type=int, metavar="N", help="the likeliest of N continuations")
    how.add_argument("--length-penalty", type=float, default=0.0, metavar="X", help="with --beams")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choices")
    parser.add_argument("--stop", metavar="N,N,…", help="tokens that end (default: the end token)")
    parser.add_argument(
        "--until", metavar="TEXT", action="append", help="a text that ends; may be repeated"
    )
    parser.add_argument("--endless", action="store_true", help="nothing ends but the length")
    parser.add_argument("--vocabulary", metavar="FILE", help="(default: that of the checkpoint)")


def choice_of(arguments: argparse.Namespace) -> Choice:
    """How the next token is chosen.

    Raises: UsageError for numbers that mean nothing.
    """
    from .sampler import Choice

    if arguments.samples < 1:
        raise UsageError(f"--samples {arguments.samples}: at least 1")
    if arguments.length is not None and arguments.length < 1:
        raise UsageError(f"--length {arguments.length}: at least 1")
    if arguments.beams is not None and arguments.samples > arguments.beams:
        raise UsageError("--beams gives as many continuations as beams", hint="raise --beams")
    return Choice(
        arguments.temperature, arguments.top_k, arguments.top_p, arguments.repetition_penalty
    )


def slide_of(arguments: argparse.Namespace) -> bool | int:
    """Whether the net slides, and within how many positions if that is said."""
    return bool(arguments.slide) if arguments.window is None else int(arguments.window)


def prompts_of(arguments: argparse.Namespace, words: Vocabulary | None) -> list[list[int]]:
    """The prompt, as often as it is gone on from."""
    return [_prompt(arguments, words)] * (1 if arguments.beams else arguments.samples)


def source_of(
    arguments: argparse.Namespace, writer: Writer, words: Vocabulary | None
) -> dict[str, list[list[int]]]:
    """What an encoder reads: its only input of tokens.  Raises: UsageError."""
    text = arguments.source
    if text is None:
        return {}
    names = [port.name for port in writer.given if port.dtype in ("i32", "i64")]
    if len(names) != 1:
        raise UsageError(f"`{writer.net}` has no single input that --source could be")
    return {names[0]: [words.encode(text) if words is not None else numbers(text, "--source")]}


def show(
    arguments: argparse.Namespace, sampling: Sampling, choice: Choice, words: Vocabulary | None
) -> int:
    """Writes, and prints what is written."""
    stop, ends = _stop(arguments, words), _ends(arguments, words)
    if arguments.beams:
        return _beams(arguments, sampling, choice, words, stop)
    return _write(arguments, sampling, choice, words, stop, ends)


def _prompt(arguments: argparse.Namespace, words: Vocabulary | None) -> list[int]:
    """Raises: UsageError for a text without a vocabulary, and for nothing at all."""
    if arguments.tokens is not None:
        return numbers(arguments.tokens, "--tokens")
    text = arguments.prompt
    if text == "-":
        text = sys.stdin.read()
    if text:
        if words is None:
            raise UsageError(
                "the checkpoint has no vocabulary to read the prompt with",
                hint="give numbers, --tokens 5,17, or a file, --vocabulary vocabulary.json",
            )
        return words.encode(text)
    begins = words.begin if words is not None else 1 if arguments.source else None
    if begins is None:
        raise UsageError(
            "nothing to go on from", hint="give --prompt TEXT, or --tokens with numbers"
        )
    return [begins]


def _stop(arguments: argparse.Namespace, words: Vocabulary | None) -> set[int]:
    if arguments.endless:
        return set()
    if arguments.stop is not None:
        return set(numbers(arguments.stop, "--stop"))
    if words is not None and words.end is not None:
        return {words.end}
    return {0} if arguments.source else set()


def numbers(text: str, option: str) -> list[int]:
    """`5,17` as numbers.  Raises: UsageError."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise UsageError(f"{option} {text}: numbers are expected", hint="such as 5,17") from None


class _Row:
    """What one sample has written: tokens, and the text of them, which may end it.

    `lead` is the text of the prompt, which the sample goes on from.
    """

    def __init__(
        self, prompt: Sequence[int], words: Vocabulary | None, ends: Sequence[str]
    ) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self._decoder = words.decoder() if words is not None else None
        self._until = Until(ends)
        feed = self._decoder.feed if self._decoder is not None else None
        self.lead = "".join(map(feed, prompt)) if feed else _shown(list(prompt), None)

    @property
    def done(self) -> bool:
        """Has a text come that ends it?"""
        return self._until.done

    def add(self, token: int, *, shown: bool) -> str:
        """What a token adds to the text; one that ends a sample is not `shown`."""
        if self.done:
            return ""
        self.tokens.append(token)
        if self._decoder is None:
            return f" {token}" if shown else ""
        return self._grown(self._until.feed(self._decoder.feed(token)) if shown else "")

    def finish(self) -> str:
        """The rest of the text."""
        rest = self._decoder.finish() if self._decoder is not None else ""
        return self._grown(self._until.feed(rest) + self._until.finish())

    def _grown(self, piece: str) -> str:
        self.text += piece
        return piece


def _write(
    arguments: argparse.Namespace,
    sampling: Sampling,
    choice: Choice,
    words: Vocabulary | None,
    stop: set[int],
    ends: Sequence[str],
) -> int:
    """One sample appears as it is written, several when they are done."""
    rows = [_Row(prompt, words, ends) for prompt in sampling.prompts.tolist()]
    live = len(rows) == 1 and not arguments.json
    if live:
        _show(rows[0].lead)
    for chosen in sampling.tokens(choice, seed=arguments.seed, stop=stop):
        for row, token in zip(rows, chosen.tolist(), strict=True):
            if token >= 0:
                piece = row.add(token, shown=token not in stop)
                _show(piece if live else "")
        if all(row.done for row in rows):
            break
    rest = [row.finish() for row in rows]
    if live:
        _show(rest[0] + "\n")
        return DONE
    texts = [row.text for row in rows] if ends else None
    return _listed(arguments, sampling, [row.tokens for row in rows], None, words, texts)


def _ends(arguments: argparse.Namespace, words: Vocabulary | None) -> list[str]:
    """The texts that end a sample.  Raises: UsageError."""
    ends = list(arguments.until or ())
    if ends and words is None:
        hint = "--stop takes numbers, --vocabulary a file"
        raise UsageError("--until needs a vocabulary", hint=hint)
    if ends and arguments.beams:
        raise UsageError("--until is for samples, not for --beams", hint="--stop ends both")
    if "" in ends:
        raise UsageError("--until wants a text that is not empty")
    return ends


def _beams(
    arguments: argparse.Namespace,
    sampling: Sampling,
    choice: Choice,
    words: Vocabulary | None,
    stop: set[int],
) -> int:
    found = sampling.best(
        choice, arguments.beams, stop=stop, length_penalty=arguments.length_penalty
    )[: arguments.samples]
    tokens = [list(each.tokens) for each in found]
    return _listed(arguments, sampling, tokens, [each.score for each in found], words)


def _listed(
    arguments: argparse.Namespace,
    sampling: Sampling,
    written: list[list[int]],
    scores: list[float] | None,
    words: Vocabulary | None,
    texts: list[str] | None = None,
) -> int:
    """`texts`: of the samples, where they are not those of all their tokens."""
    prompt = sampling.prompts[0].tolist()
    lead = _Row(prompt, words, ()).lead
    if arguments.json:
        answer = [
            {
                "tokens": tokens,
                "text": texts[k] if texts else words.decode(tokens) if words else None,
                **({"log_probability": scores[k]} if scores is not None else {}),
            }
            for k, tokens in enumerate(written)
        ]
        found = {"prompt": prompt, "cached": sampling.cached, "samples": answer}
        print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
        return DONE
    for number, tokens in enumerate(written):
        if len(written) > 1:
            print(f"{'' if number == 0 else chr(10)}--- {number + 1}")
        print(_shown(prompt + tokens, words) if texts is None else lead + texts[number])
    return DONE


def _shown(tokens: list[int], words: Vocabulary | None) -> str:
    return words.decode(tokens) if words is not None else " ".join(map(str, tokens))


def _show(text: str) -> None:
    """At once, also half a line; a character that the terminal cannot show becomes a question
    mark."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
