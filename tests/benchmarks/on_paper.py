"""What collecting 100,000 streams in 100 instances takes, by a simulation of rate limits; nothing is sent.

``python tests/benchmarks/on_paper.py``. An instance is a bucket of tokens that refuses with 429 and a
``Retry-After``; the client has 16 requests under way and sends nothing until that is over, as `collect` does.
Processor time, bytes and latency are those that ``collect.py`` measures.
"""

from __future__ import annotations

import heapq

INSTANCES, STREAMS, RUNS, PAGE = 100, 1_000, 200, 500
LATENCY, PARALLEL, RETRY_AFTER = 0.2, 16, 5.0
#: Of a page of 200 runs: seconds of processor time, bytes of JSON, of gzip, and of Parquet.
CPU, JSON, GZIP, PARQUET = 0.005, 140_000, 6_000, 6_000
#: Runs of a stream in a day, and how many pages of these come with one request.
DAILY, CPU_AGAIN, JSON_AGAIN = 24, 0.0015, 17_000


def seconds(requests: int, rate: float | None) -> tuple[float, int]:
    """Return how long an instance takes for so many requests at a rate limit, and how many it refused."""
    now, tokens, filled, quiet, refused = 0.0, rate or 0.0, 0.0, 0.0, 0
    ready = [0.0] * PARALLEL
    while requests:
        now = max(heapq.heappop(ready), quiet)
        heapq.heappush(ready, now + LATENCY)
        if rate is not None:
            tokens, filled = min(rate, tokens + (now - filled) * rate), now  # a burst of one second
            if tokens < 1:
                refused += 1
                quiet = now + LATENCY + RETRY_AFTER
                continue
            tokens -= 1
        requests -= 1
    return now + LATENCY, refused


def main() -> None:
    """Print what it takes, the first time and every day."""
    lists = 2 * STREAMS // 50
    for name, cpu, size in (("first", CPU, JSON), ("every day", CPU_AGAIN, JSON_AGAIN)):
        requests = lists + STREAMS * -(-RUNS // PAGE)
        every = INSTANCES * requests
        print(
            f"{name}: {every:,} requests, {every * size / 1e9:.1f} GB of JSON,"
            f" {every * cpu / 3600:.2f} h of processor time"
        )
        for rate in (None, 50, 10, 2, 1):
            took, refused = seconds(requests, rate)
            limit = "no limit" if rate is None else f"{rate} a second"
            workers, alone = max(1, round(every * cpu / took)), max(took, every * cpu) / 3600
            print(
                f"  {limit:>11}: {took / 60:6.1f} min an instance, {refused:,} refused;"
                f" all at once keep {workers} interpreters busy, one takes {alone:.2f} h"
            )
    pages = INSTANCES * STREAMS
    print(f"{pages * RUNS:,} runs: {pages * PARQUET / 1e9:.1f} GB Parquet, {pages * GZIP / 1e9:.1f} GB gzip")


if __name__ == "__main__":
    main()
