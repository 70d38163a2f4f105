"""The training loop: steps, reports, checkpoints, and every way in which a training can end.

Everything random follows from the seed and the number of the step, so the position in the training
is one number, and a resumed training does what the uninterrupted one would have done, bit for bit.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DivergenceError, UnheardError
from . import checkpoint as files
from .averaged import averaged
from .checkpoint import Checkpoint
from .data import Dataset
from .divergence import divergence
from .evaluation import Averages, Interrupted, evaluate, per_byte, per_byte_names
from .initialise import initialise
from .interrupt import Interrupt
from .joint import Joint, moving
from .metrics import MetricsFiles
from .plateau import lower
from .processes import Processes
from .progress import Progress
from .recipe import Recipe, TrainingStep
from .record import Position, Record, check_same, spec_hash
from .run_folder import BEST, LAST, checkpoint_path, keep_vocabulary, put_aside
from .snapshot import Snapshot, restore, restore_fitting, restore_parameters, tensors
from .stepper import Maker, Stepper
from .stepper_choice import stepper_for
from .stream import Stream, part_of
from .trained import some, untrained

if TYPE_CHECKING:
    from .engine import Engine

SAVE_SECONDS = 30.0
"""Between two checkpoints, where the spec does not say `save_every`."""

EXTRA = "stepper/"
"""What the names of tensors begin with that a stepper keeps itself: `stepper/<step>/<name>`."""


class Training:
    """One run of the loop."""

    def __init__(
        self,
        engine: Engine,
        recipe: Recipe,
        datasets: Sequence[Dataset],
        stream: Stream,
        out: Path,
        display: Progress,
        makers: Mapping[str, Maker],
        processes: Processes,
    ) -> None:
        self.engine, self.recipe, self.datasets, self.stream = engine, recipe, datasets, stream
        self.out, self.display, self.processes = out, display, processes
        self.position = Position()
        self.averages = Averages(recipe.geometric())
        self.test = part_of(datasets, "test")
        self.interrupt = Interrupt(processes)
        self.steppers: list[Stepper] = [
            stepper_for(engine, step, stream, recipe.seed, makers) for step in recipe.steps
        ]
        leads = [recipe.qualified(step.name, "") for step in recipe.steps]
        self.plans = list(zip(recipe.steps, self.steppers, leads, strict=True))
        self.best: Snapshot | None = None
        self.best_waits = False
        self.notes: list[str] = []
        self.saved = (-1, -1)
        self.saved_at = time.monotonic()
        self.began = time.perf_counter()
        self.files: MetricsFiles | None = None

    def begin(self, weights: Path | None = None, *, fitting: bool = False) -> None:
        """Start at step 0, with fresh parameters or those of a checkpoint; an earlier run in the
        folder is put aside.
        """
        initialise(self.engine, self.recipe.seed)
        if weights is not None and fitting:
            left = restore_fitting(self.engine, files.load(weights), weights)
            self._note(f"beside the weights of `{weights}` fresh ones: {some(left)}")
        elif weights is not None:
            restore_parameters(self.engine, files.load(weights), weights)
        elif resting := untrained(self.engine.artifact):
            self._note(
                f"no step trains {some(resting)}, which begins at random: --weights FILE --fitting "
                "gives it the weights of a checkpoint"
            )
        self._meet()
        if self.processes.rank:
            return
        aside = put_aside(self.out)
        if aside is not None:
            self._note(f"the earlier run in `{self.out}` was moved to `{aside}`")
        self.files = MetricsFiles(self.out, self._columns())
        keep_vocabulary(self.out, self.datasets)

    def resume(self, earlier: Checkpoint, path: Path) -> None:
        """Go on where the checkpoint was saved.

        Raises: CheckpointError when the data or the network is another one.
        """
        state = earlier.state
        check_same(path, state, self.datasets, self.stream.count)
        restore(self.engine, earlier, path)
        if state["spec"] != spec_hash(self.engine.artifact):
            self._note("the spec has changed since the checkpoint; the new one is used")
        self.position = Position(**state["position"])
        self.averages.sums.update(state["sums"])
        self.averages.weights.update(state["weights"])
        for step, stepper in zip(self.recipe.steps, self.steppers, strict=True):
            lead = f"{EXTRA}{step.name}/"
            stepper.restore(
                {k[len(lead) :]: v for k, v in earlier.tensors.items() if k.startswith(lead)}
            )
        self._meet()
        if self.processes.rank:
            return
        self.files = MetricsFiles(self.out, self._columns(), step=self.position.reported)
        keep_vocabulary(self.out, self.datasets)

    def _meet(self) -> None:
        """Whether all processes are about to do the same.

        Raises: UsageError.
        """
        engine, recipe = self.engine, self.recipe
        artifact = engine.artifact
        shapes = [(parameter.name, parameter.shape) for parameter in artifact.parameters]
        self.processes.check_same(
            {
                "spec": [spec_hash(artifact), artifact.target, artifact.precision, shapes],
                "options": [recipe.seed, recipe.total, self.position.step],
                "data": [
                    [d.statistics["checksum"], d.statistics["samples"]] for d in self.datasets
                ],
                "weights": zlib.crc32(np.ascontiguousarray(engine.parameters).data),
            }
        )
        if isinstance(engine, Joint) and not engine.whole and moving(artifact):
            means = some(moving(artifact))
            self._note(f"batch statistics are those of a process's part, means of them {means}")

    def _columns(self) -> list[str]:
        return [*self.recipe.columns(), *per_byte_names(self.recipe, self.datasets)]

    def run(self) -> Record:
        """The whole training; leaves with everything saved, whatever happens."""
        recipe, position = self.recipe, self.position
        if self.test is None and any(dataset.test for dataset in self.datasets):
            self._note("the held-out part is smaller than one batch and is not evaluated")
        for dataset in self.datasets:
            classes = dataset.statistics.get("facts", {}).get("classes", ())
            if len(classes) == 1:
                self._note(f"all samples are of one class, `{classes[0]}`: nothing is told apart")
        tokens = self.datasets[0].tokens * max(step.accumulate for step in recipe.steps)
        self.display.start(self.engine.artifact.name, position.step, recipe.total, tokens)
        self.began = time.perf_counter() - position.seconds
        try:
            with self.interrupt:
                self._loop()
                if self.saved != (position.step, position.reported):
                    self._save()
        finally:
            self.display.finish()
            self.stream.close()
            if self.files is not None:
                self.files.close()
        return self._record()

    def _loop(self) -> None:
        recipe, position = self.recipe, self.position
        try:
            if position.step and self._due(position.step):
                self._report()
            while position.step < recipe.total and not position.stopped:
                self._advance(recipe.boundary(position.step))
                if self.interrupt.wanted:
                    return
                if self._due(position.step):
                    self._report()
                if recipe.save_every and position.step % recipe.save_every == 0:
                    self._save()
        except Interrupted:
            return

    def _advance(self, until: int) -> None:
        """Train up to a step, or to the user's interruption."""
        recipe, position, interrupt = self.recipe, self.position, self.interrupt
        engine_step, tick = self._step, self.display.step
        next_save = self.saved_at + SAVE_SECONDS
        for step in range(position.step, until):
            if interrupt.wanted:
                return
            engine_step(step)
            position.step = step + 1
            tick(step + 1)
            if recipe.save_every is None and time.monotonic() > next_save:
                self._save()
                next_save = self.saved_at + SAVE_SECONDS

    def _step(self, number: int) -> None:
        """One step of the training: every training step of the spec whose turn it is."""
        recipe, size = self.recipe, self.stream.size
        epoch, index = divmod(number, recipe.per_epoch)
        first = epoch * recipe.batches + index * recipe.group
        count = min(recipe.group, recipe.batches - index * recipe.group)
        for step, stepper, lead in self.plans:
            if number % step.every:
                continue
            own = number // step.every
            rate = self._rate(step, own)
            result = stepper(first, count, rate, own)
            if not result.finite:
                self._diverged(step.name, stepper, first, own, number, rate)
            used = min(count, step.accumulate)
            weight = size(first) if used == 1 else sum(map(size, range(first, first + used)))
            self.averages.add(result.values, weight, lead)

    def _due(self, step: int) -> bool:
        """Whether a report belongs after this step and has not been made."""
        recipe = self.recipe
        if step == recipe.total:
            return self.position.reported < step
        reports = step % recipe.report_every == 0 and self.position.reported < step
        evaluates = step % recipe.eval_every == 0 and self.position.evaluated < step
        return reports or evaluates

    def _report(self) -> None:
        """Means of the training part since the last report, and an evaluation when one is due.

        Raises: Interrupted in the evaluation; then nothing of the report has happened.
        """
        recipe, position = self.recipe, self.position
        step = position.step
        evaluates = step % recipe.eval_every == 0 or step == recipe.total
        held_out = None
        if evaluates and self.test is not None:
            with averaged(self.engine):
                held_out = evaluate(self.engine, recipe, self.test, self.processes)
        means = self.averages.means()
        means |= per_byte(recipe, self.datasets, "train", means)
        rows = [self._row("train", means)]
        position.metrics["train"] = means
        if held_out is not None:
            held_out |= per_byte(recipe, self.datasets, "test", held_out)
            rows.append(self._row("test", held_out))
            position.metrics["test"] = held_out
        self.averages.clear()
        position.reported = step
        if evaluates:
            position.evaluated = step
            self._judge("test" if self.test is not None else "train")
        if self.files is not None:
            for row in rows:
                self.files.write(row)
        self.display.report(rows)

    def _row(self, part: str, values: Mapping[str, float]) -> dict[str, Any]:
        recipe, position = self.recipe, self.position
        row: dict[str, Any] = {
            "step": position.step,
            "epoch": round(position.step / recipe.per_epoch, 6),
            "part": part,
            "seconds": round(time.perf_counter() - self.began, 3),
        }
        for step in recipe.steps:
            own = (position.step - 1) // step.every
            row[recipe.qualified(step.name, "rate")] = self._rate(step, own)
        return {**row, **values}

    def _rate(self, step: TrainingStep, own: int) -> float:
        return step.schedule.rate(own, step.total, self.position.drops.get(step.name, 0))

    def _judge(self, part: str) -> None:
        """Is this the best so far, and has it not been for too long?"""
        rule, position = self.recipe.stopping, self.position
        if rule is None:
            return
        value = position.metrics[part].get(rule.monitor)
        if value is None:
            return
        best = position.best["value"] if position.best else None
        if rule.improves(value, best):
            position.idle = 0
            position.waits.clear()
            position.best = {
                "value": value,
                "step": position.step,
                "epoch": position.step / self.recipe.per_epoch,
                "monitor": rule.monitor,
                "part": part,
            }
            if self.processes.rank:
                return
            if self.best is None:
                self.best = Snapshot(self.engine)
            self.best.take(self.engine, self._state())
            self.best_waits = True
        else:
            position.idle += 1
            position.stopped = rule.patience is not None and position.idle >= rule.patience
            for note in lower(self.recipe.steps, position):
                self._note(note)

    def _save(self) -> None:
        """Write the last checkpoint, and before it the best one if it is new."""
        if self.processes.rank:
            return
        if self.best is not None and self.best_waits:
            files.save(checkpoint_path(self.out, BEST), self.best.tensors(), self.best.state)
            self.best_waits = False
        engine = self.engine
        named = tensors(engine.artifact, engine.parameters, engine.states)
        for step, stepper in zip(self.recipe.steps, self.steppers, strict=True):
            for name, array in stepper.state().items():
                named[f"{EXTRA}{step.name}/{name}"] = array
        files.save(checkpoint_path(self.out, LAST), named, self._state())
        self.saved = (self.position.step, self.position.reported)
        self.saved_at = time.monotonic()

    def _state(self) -> dict[str, Any]:
        position = self.position
        position.seconds = time.perf_counter() - self.began
        return {
            "name": self.engine.artifact.name,
            "spec": spec_hash(self.engine.artifact),
            "seed": self.recipe.seed,
            "total": self.recipe.total,
            "batches": self.stream.count,
            "batch": [dataset.batch for dataset in self.datasets],
            "shard": [self.stream.shard.number, self.stream.shard.of],
            "position": {
                name: json.loads(json.dumps(getattr(position, name)))
                for name in Position.__dataclass_fields__
            },
            "sums": dict(self.averages.sums),
            "weights": dict(self.averages.weights),
            "data": [dict(dataset.statistics) for dataset in self.datasets],
        }

    def _diverged(
        self, name: str, stepper: Stepper, first: int, own: int, number: int, rate: float
    ) -> None:
        """Keep the state before the step that failed, then say where it failed."""
        self._save()
        if isinstance(self.engine, Joint) and not self.engine.at_fault:
            raise UnheardError(DivergenceError.exit_code)
        epoch = number / self.recipe.per_epoch
        before = np.array(self.engine.parameters)
        batch, index = stepper.failed(first, own)
        try:
            raise divergence(
                self.engine,
                name,
                self.stream.batch(batch),
                index=index,
                seed=self.recipe.seed,
                rate=rate,
                when=f"at step {number + 1:,} (epoch {epoch:.2f}); nothing was updated, "
                f"the state before it is in `{checkpoint_path(self.out, LAST)}`",
            )
        finally:
            self.engine.parameters[:] = before

    def _record(self) -> Record:
        position, recipe = self.position, self.recipe
        paths = {
            name: checkpoint_path(self.out, file) for name, file in (("last", LAST), ("best", BEST))
        }
        if self.files is not None:
            paths |= {"csv": self.files.csv_path, "jsonl": self.files.json_path}
        return Record(
            metrics=position.metrics,
            best=position.best,
            step=position.step,
            epochs=position.step / recipe.per_epoch,
            seconds=position.seconds,
            paths={name: path for name, path in paths.items() if path.exists()},
            interrupted=self.interrupt.wanted
            and position.reported < recipe.total
            and not position.stopped,
            stopped_early=position.stopped,
            notes=tuple(self.notes),
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.display.note(text)
