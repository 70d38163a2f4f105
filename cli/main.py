"""Finds the verb, runs it, and turns every failure into one screen and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..spec.errors import InternalError, WeftError

VERBS = {
    "new": "a starter spec with data that trains at once",
    "check": "errors, or the table of shapes, parameters, FLOPs and memory",
    "doc": "what a layer, operation, optimizer … does: signature, shapes, definition, example",
    "fmt": "the canonical form of a spec; converts between .weft and .yaml",
    "lsp": "a language server for editors, over stdin and stdout",
    "schema": "the JSON Schema of the YAML form, for editors",
    "show": "the graph as text, dot, mermaid or svg; or what its filters have learnt, as PNG",
    "explain": "passes, fused groups, kernels, bytes and FLOPs",
    "explain-error": "what an error code means, with a bad spec and the mended one",
    "compile": "the generated package: kernels, step, trainer",
    "verify": "every target and every gradient against the float64 reference",
    "train": "train, with metrics, checkpoints and exact resume",
    "find-rate": "a learning rate to begin with, from a short training whose rate grows",
    "eval": "the metrics of a trained network on its held-out data",
    "predict": "the outputs of a trained network for new inputs, or its feature maps as PNG",
    "sample": "text from a language model, as it is written",
    "import-weights": "the published weights of a network as a checkpoint",
    "bench": "the time of a training step, beside torch where it is installed",
}

DONE, FAILED, WRONG_INPUT = 0, 1, 2
INTERRUPTED, PIPE_CLOSED = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (0 done, 1 it ran and failed, 2 wrong input)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return _quietly(lambda: _usage(arguments[1:]))
    if arguments[0] in ("-V", "--version"):
        return _quietly(_version)
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"commands: {' '.join(VERBS)}"
        return _fail(f"weft: error: unknown command `{verb}`\n  = hint: {hint}", WRONG_INPUT)
    return _quietly(lambda: _run(verb, rest))


def _run(verb: str, rest: list[str]) -> int:
    """Import the verb's file, parse its options, run it."""
    module = importlib.import_module(f"..{verb.replace('-', '_')}", __name__)
    parser = argparse.ArgumentParser(
        prog=f"weft {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    result: int = module.run(parser.parse_args(rest))
    return result


def _quietly(action: object) -> int:
    """Run the action; the one place where an exception becomes a message and an exit code."""
    from ..spec.errors import InternalError, SpecError, UnheardError, WeftError

    assert callable(action)
    try:
        result: int = action()
        sys.stdout.flush()
        return result
    except SpecError as error:
        return _fail(str(error), error.exit_code)
    except InternalError as error:
        return _internal(error)
    except UnheardError as error:
        return error.exit_code
    except WeftError as error:
        return _fail(_message(error), error.exit_code)
    except KeyboardInterrupt as stop:
        said = f": {stop}" if str(stop) else ""
        return _fail(f"weft: interrupted{said}", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`weft check … | head`): no message, and none at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        return _fail(f"weft: error: {_operating_system(error)}", FAILED)
    except Exception as error:
        return _internal(error)


def _message(error: WeftError) -> str:
    text = str(error)
    return text if text.startswith("weft:") else f"weft: error: {text}"


def _operating_system(error: OSError) -> str:
    what = error.strerror or str(error)
    where = f": {error.filename}" if error.filename else ""
    return f"{what}{where}"


def _internal(error: Exception | InternalError) -> int:
    """A mistake of ours: say what to report; the traceback only with WEFT_DEBUG=1."""
    if os.environ.get("WEFT_DEBUG"):
        traceback.print_exception(error)
        return FAILED
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
    kind = type(error).__name__
    body = str(error).removeprefix("internal error: ").splitlines()[:20] or ["(no message)"]
    return _fail(
        "\n".join(
            [
                f"weft: internal error ({kind} at {where}): {body[0]}",
                *(f"  {line}" for line in body[1:]),
                "  This is a mistake in weft, not in your spec. Please report it with the spec and",
                f"  the output of the same command with WEFT_DEBUG=1 ({_versions()}).",
            ]
        ),
        FAILED,
    )


def _fail(text: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)
    return code


def _versions() -> str:
    from .. import __version__

    python = ".".join(map(str, sys.version_info[:3]))
    return f"weft {__version__}, Python {python}, {sys.platform}"


def _version() -> int:
    print(_versions())
    return DONE


def _usage(rest: list[str]) -> int:
    if rest and rest[0] in VERBS:
        return _run(rest[0], ["--help"])
    width = max(map(len, VERBS))
    print("usage: weft COMMAND [OPTIONS]\n")
    print("From a description of a network to kernels that train it.\n")
    for verb, what in VERBS.items():
        print(f"  {verb:<{width}}  {what}")
    print("\n`weft COMMAND --help` lists a command's options. First steps: `weft new hello`.")
    return DONE
