"""Processes in which Triton compiles for one target: as many as there are processors.

A process that dies, with an assembler that aborts, takes one kernel along; a new one goes on.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from ..spec.errors import DeviceError
from .machine import threads as processors

Record = Mapping[str, Any]
Answer = dict[str, Any]

EACH = 6
"""So many kernels take about as long as a process takes to start."""

MOST = 32
"""Processes: each needs half a gigabyte."""


def answers(order: Mapping[str, str], records: Sequence[Record]) -> Iterator[Answer]:
    """What the compiler says of each kernel record, as it is done.

    `order`: the path, the digest and the target of the module.

    Raises: DeviceError when Triton cannot be started.
    """
    count = min(processors(), MOST, -(-len(records) // EACH))
    idle: queue.SimpleQueue[_Compiler] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as cache:
        compilers = [_Compiler(order, cache) for _ in range(count)]
        for compiler in compilers:
            idle.put(compiler)

        def compiled(record: Record) -> Answer:
            compiler = idle.get()
            try:
                return compiler.compile(record)
            finally:
                idle.put(compiler)

        pool = ThreadPoolExecutor(max(count, 1))
        try:
            for done in as_completed([pool.submit(compiled, record) for record in records]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)
            for compiler in compilers:
                compiler.close()


class _Compiler:
    """One process at most, started when there is something to compile."""

    def __init__(self, order: Mapping[str, str], cache: str) -> None:
        self._order = json.dumps(dict(order)) + "\n"
        self._cache = cache  # an empty one: Triton believes any file it finds
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)

    def compile(self, record: Record) -> Answer:
        """What became of a kernel; it has an `error` where that killed the process."""
        process = self._process or self._start()
        answer = _say(process, json.dumps(record) + "\n")
        if answer:
            return dict(json.loads(answer))
        return {"kernel": record["name"], "error": f"the compiler died: {self._last_words()}"}

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
        self._errors.close()

    def _start(self) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
        environment["TRITON_DEFAULT_FP_FUSION"] = "1"
        environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
        environment["TRITON_CACHE_DIR"] = self._cache
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.crosscompile_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
            bufsize=1,
        )
        if not _say(self._process, self._order):
            raise DeviceError(
                f"Triton cannot be started: {self._last_words()}", hint="is triton installed?"
            )
        return self._process

    def _last_words(self) -> str:
        """Why the process ended."""
        assert self._process is not None
        code, self._process = self._process.wait(), None
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.truncate(0)
        return words[-1] if words else f"exit code {code}"


def _say(process: subprocess.Popen[str], line: str) -> str:
    """The answer to a line; empty where the process is dead."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        return ""
    return process.stdout.readline()
