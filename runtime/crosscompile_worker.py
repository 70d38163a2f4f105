"""The process in which Triton compiles for machines that are not here: a module in, reports out.

Started by `compilers.py`; reads one JSON order and then a record of a kernel a line, and answers
each with a JSON line, so that what was done survives an abort of the assembler.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import kernel_module
from .launch import compile_options

INSTRUCTIONS = {
    "cuda": {
        "wgmma": r"wgmma\.mma_async",
        "mma": r"\bmma\.sync",
        "tcgen05": r"tcgen05\.mma",
        "async_copy": r"cp\.async\.c[ga]",
        "atomic": r"\b(?:red|atom)\.global",
    },
    "hip": {"mfma": r"v_mfma", "atomic": r"global_atomic"},
}
"""What is counted in the assembly, by name."""


def compile_kernel(function: Any, record: dict[str, Any], target: str) -> dict[str, Any]:
    """The figures of one kernel; `error` when it does not compile."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    backend, arch = target.split(":")
    gpu = GPUTarget(backend, int(arch), 32) if backend == "cuda" else GPUTarget(backend, arch, 64)
    constants = record["constants"]
    signature = {name: type for name, type, _ in record["parameters"]}
    signature |= dict.fromkeys(constants, "constexpr")
    divisible = {name for name, _, divisible in record["parameters"] if divisible}
    names = list(function.arg_names)
    source = ASTSource(
        fn=function,
        signature={name: signature[name] for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in divisible},
    )
    alone = record.get("alone", False)
    options = compile_options(record["warps"], record["stages"], alone, backend)
    begin = time.perf_counter()
    compiled = compile(source, target=gpu, options={**options, "enable_fp_fusion": True})
    seconds = time.perf_counter() - begin
    figures = _nvidia(compiled) if backend == "cuda" else _amd(compiled)
    assembly = compiled.asm["ptx" if backend == "cuda" else "amdgcn"]
    counts = {
        name: len(re.findall(pattern, assembly)) for name, pattern in INSTRUCTIONS[backend].items()
    }
    return {
        **figures,
        "shared": compiled.metadata.shared,
        "tensor_memory": getattr(compiled.metadata, "tmem_size", None) or 0,
        "instructions": {name: count for name, count in counts.items() if count},
        "seconds": round(seconds, 3),
    }


def _nvidia(compiled: Any) -> dict[str, int]:
    """Registers and stack as the assembler reports them of the finished binary."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if not found:
        raise RuntimeError(f"cuobjdump says nothing about registers: {usage.strip()[:200]}")
    return {"registers": int(found[1]), "spills": int(found[2])}


def _amd(compiled: Any) -> dict[str, int]:
    def figure(key: str) -> int:
        found = re.search(rf"\.{key}:?\s+(\d+)", compiled.asm["amdgcn"])
        return int(found[1]) if found else 0

    return {"registers": figure("vgpr_count"), "spills": 4 * figure("vgpr_spill_count")}


def main() -> None:
    """Loads the module of the order, then compiles the kernels that are asked for."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    module = kernel_module.load(Path(order["path"]), order["digest"])
    answers.write(json.dumps({"ready": order["target"]}) + "\n")
    for line in sys.stdin:
        record = json.loads(line)
        try:
            answer = compile_kernel(getattr(module, record["name"]), record, order["target"])
        except Exception as error:  # the parent reports it
            lines = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {lines[-1][:300]}"}
        answers.write(json.dumps({"kernel": record["name"], **answer}) + "\n")


if __name__ == "__main__":
    main()
