"""``runs.domo``: what can be done with a frame of runs, on the frame itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from domo_magic.analysis import export, plots
from domo_magic.analysis.baseline import compare_alone
from domo_magic.model.shown import shown

if TYPE_CHECKING:
    import os

    import pandas as pd


class DomoAccessor:
    """Compare, draw and write a frame of runs.

    Parameters
    ----------
    frame : pandas.DataFrame
        The frame.

    Examples
    --------
    >>> runs.domo.compare()["verdict"].value_counts().to_dict()
    {'usual': 15, 'no baseline': 5}
    >>> axes = runs.domo.plot("rowsInserted")
    >>> runs.domo.to_parquet("runs.parquet")
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def compare(self, baseline: Any = "median") -> pd.DataFrame:
        """Compare each run with what is usual, from this frame alone; see `domo_magic.compare`.

        Nothing is fetched; a warning says where most runs have no baseline in the frame.
        """
        return shown(compare_alone(self._frame, baseline=baseline), "comparison")

    def plot(self, metric: str = "duration", *, ax: Any = None) -> Any:
        """Draw the runs over time; see `domo_magic.plot`."""
        return plots.plot(self._frame, metric, ax=ax)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the frame so that `domo_magic.read_parquet` gives it back unchanged."""
        export.to_parquet(self._frame, path)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the `plain` frame as CSV in which no text is a formula to a spreadsheet."""
        export.to_csv(self._frame, path)

    def to_excel(self, path: str | os.PathLike[str]) -> None:
        """Write the `plain` frame as an Excel sheet in which no text is a formula."""
        export.to_excel(self._frame, path)

    def plain(self) -> pd.DataFrame:
        """Return numbers, text, naive UTC times and seconds; objects are JSON text."""
        return export.plain(self._frame)


@cache
def register() -> None:
    """Bring the accessor; once is enough."""
    import pandas as pd

    pd.api.extensions.register_dataframe_accessor("domo")(DomoAccessor)
