"""Two kernels on one history: one starts, one waits, and both are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import Kernel, environment

from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

MINE = (
    "rows = domo_magic.runs(refresh=False)\n"
    "sorted(zip(rows.streamId.tolist(), rows.currentState, rows.label, strict=True))"
)
STREAMS = [100, 101, 102]


def test_one_kernel_starts_and_the_other_waits(tmp_path: Path) -> None:
    """Waiting without a target takes up what the other kernel started, which starts more; both know all."""
    with Sandbox() as sandbox:
        for stream_id in STREAMS:
            sandbox.world.add_stream(2.0, stream_id=stream_id)
        env = environment(tmp_path, sandbox)
        with Kernel(env) as starting, Kernel(env) as waiting:
            for kernel in (starting, waiting):
                assert kernel.run("import domo_magic").error is None
            before = {stream_id: sandbox.world.count(stream_id) for stream_id in STREAMS}
            assert starting.run("%domo_run 100 101 --label nightly").error is None
            cell = waiting.begin("w = %domo_wait\nsorted(w.streamId.tolist())")
            assert starting.run("%domo_run 102 --wait --label nightly").error is None
            waited = waiting.end(cell)
            assert waited.error is None
            assert set(eval(waited.result)) >= {100, 101}  # noqa: S307  a list of numbers of our own
            known = [(stream_id, "SUCCESS", "nightly") for stream_id in sorted(STREAMS)]
            assert [kernel.run(MINE).result for kernel in (starting, waiting)] == [_listed(known)] * 2
            assert {
                stream_id: sandbox.world.count(stream_id) - before[stream_id] for stream_id in STREAMS
            } == (dict.fromkeys(STREAMS, 1))
            again = waiting.run("%domo_wait")
            assert "no unfinished runs that were started here in the last 24 h" in again.printed


def _listed(known: list[tuple[int, str, str]]) -> str:
    """Return a list as IPython shows it."""
    return "[" + ",\n ".join(map(repr, known)) + "]"
