"""Steps by name: those in ``steps/``, and those of other packages (entry points ``fmnist_dask.steps``)."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import pydantic

from fmnist_dask.errors import UsageError, nearest
from fmnist_dask.passes.protocol import ColumnArray, Readable
from fmnist_dask.workflow.foreseen import Foreseen

if TYPE_CHECKING:
    import xarray

    from fmnist_dask.report.page import Contribution

ENTRY_POINTS = "fmnist_dask.steps"
#: What ``accepts`` says of steps that work on the lines of one photograph.
PHOTOGRAPH = "photograph"


@dataclass(frozen=True)
class StepInput:
    """What a step works on.

    Attributes
    ----------
    source
        The collection; where the step works on another step's results, the collection seen through these features. For
        steps that accept it, a photograph, whose lines are the samples.
    split
        Name of the split (``all`` for every image) and its code (``None`` for every image).
    seed
        The workflow's seed.
    on
        What the features are: ``pixels``, or the name of the step that they come from.
    """

    source: Readable
    split: str
    split_code: int | None
    seed: int
    on: str = "pixels"

    @property
    def n(self) -> int:
        """Images of the split, or lines of the photograph."""
        if self.split_code is None:
            return self.source.n
        return list(self.source.splits.values())[self.split_code]


@dataclass
class StepResult:
    """What a step returns.

    Attributes
    ----------
    dataset
        The result, as ``results.zarr/<step>`` will hold it.
    metrics
        Numbers for manifest and summary; JSON values.
    exact
        True, false, or a map by metric.
    n_used, n_total
        Images that the result rests on, and images there were; of a photograph what the step counts, such as pixels, by
        default 1.
    columns
        Per-sample variables that a pass has written; they join the dataset without a copy.
    tables
        Name → columns of ``tables/<name>.parquet``, in order. ``sample`` is required; ``source_name``, ``split`` and
        ``label`` are put in after it.
    image_tables
        Name → {suffix: column} of tables with one row for each image of the collection. Steps share them: a column is
        named by its step and the suffix (``""`` for the step's name alone), or by what follows "=" where the suffix
        begins so and no earlier step has that name. Each is one of ``columns``, or a map of field → column with a row
        of values each, for a struct of lists.
    features
        The variable, of dimensions (sample, feature), that other steps work on when they name this one as ``on``.
    images
        Instead: the variable of truth values, of dimension (sample,), that says which images they then work on.
    pixels
        Instead: the variable of uint8, of the dimensions of the images, that takes their place.
    pictures
        Name → PNG file, to become ``pictures/<step>-<name>.png`` of the run: its bytes, or a function that writes them
        to a binary file, so that a large one is never in memory as a whole.
    """

    dataset: xarray.Dataset
    metrics: dict[str, Any] = field(default_factory=dict)
    exact: bool | dict[str, bool] = True
    n_used: int | None = None
    n_total: int | None = None
    columns: Mapping[str, ColumnArray] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    image_tables: Mapping[str, Mapping[str, ColumnArray | Mapping[str, ColumnArray]]] = field(default_factory=dict)
    features: str | None = None
    images: str | None = None
    pixels: str | None = None
    pictures: Mapping[str, bytes | Callable[[BinaryIO], object]] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportContext:
    """What a figure builder may know beside its step's dataset.

    Attributes
    ----------
    others
        The run's other published steps: what opens the dataset of each, read when used. The builder closes nothing.
    """

    name: str
    uses: str
    split: str
    metrics: Mapping[str, Any]
    n_used: int
    n_total: int
    class_names: Sequence[str]
    others: Mapping[str, Callable[[], xarray.Dataset]] = field(default_factory=dict)


FigureBuilder = Callable[["xarray.Dataset", ReportContext], "Contribution"]
Libraries = tuple[str, ...] | Mapping[str, tuple[str, ...]] | Callable[[Mapping[str, Any]], tuple[str, ...]]
StepFunction = Callable[..., "Generator[Any, Any, StepResult | xarray.Dataset] | StepResult | xarray.Dataset"]


@dataclass(frozen=True)
class Step:
    """A registered step.

    Attributes
    ----------
    name
        What ``uses`` says.
    function
        ``function(data: StepInput, *, parameters…)``; a generator of scans, or a plain function.
    version
        Part of the fingerprint: results of another version are not reused.
    parameters
        Schema made of the function's keyword-only parameters.
    figures
        ``module:function`` that builds the step's part of the report; imported when a report is made.
    libraries
        Packages whose version decides the result; part of the fingerprint. By the parameter ``engine`` for steps that
        have one, or a function of all parameters.
    extra
        The extra of this package that brings those of them which a plain installation lacks; a map from packages to
        extras where there are several.
    accepts
        What it handles beyond the pixels of all images: ``mask`` (hidden pixels), ``missing`` (pixels without a
        value), ``on`` (features that other steps give), ``images`` (those that other steps keep), ``photograph`` (one
        photograph, whose lines are the samples: :class:`~fmnist_dask.collection.lines.Lines`). The rest is refused.
    gives
        What it has for other steps, which they name as ``on``: ``features``, or ``images`` (a choice of them, or others
        in their place).
    foresees
        ``foresees(data, **parameters)``: what may take more memory than the first pass.
    width
        ``width(data, **parameters)``: how many features it gives, for plans of the steps that work on them.
    """

    name: str
    function: StepFunction
    version: int
    parameters: type[pydantic.BaseModel]
    figures: str | None
    libraries: Libraries
    accepts: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    foresees: Callable[..., Iterable[Foreseen]] | None = None
    width: Callable[..., int] | None = None
    extra: str | Mapping[str, str] | None = None

    def contribution(self, dataset: xarray.Dataset, context: ReportContext) -> Contribution | None:
        """The step's part of the report; ``None`` for a step that draws nothing."""
        if self.figures is None:
            return None
        module, _, function = self.figures.partition(":")
        builder: FigureBuilder = getattr(importlib.import_module(module), function)
        return builder(dataset, context)

    def libraries_of(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Packages that decide the result with these parameters."""
        if isinstance(self.libraries, tuple):
            return self.libraries
        if callable(self.libraries):
            return self.libraries(parameters)
        return self.libraries[parameters["engine"]]

    def missing_libraries(self, parameters: Mapping[str, Any]) -> list[str]:
        """Those of them that are not installed."""
        return [name for name in self.libraries_of(parameters) if not is_installed(name)]

    def extras_for(self, missing: Iterable[str]) -> list[str]:
        """The extras of this package that bring some packages."""
        if self.extra is None or isinstance(self.extra, str):
            return [self.extra] if self.extra else []
        return sorted({self.extra[name] for name in missing if name in self.extra})

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0]


def is_installed(distribution: str) -> bool:
    """Whether a package is there."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


_REGISTERED: dict[str, Step] = {}


def step(
    name: str,
    *,
    version: int = 1,
    figures: str | None = None,
    libraries: Libraries = ("numpy",),
    accepts: Iterable[str] = (),
    gives: Iterable[str] = (),
    foresees: Callable[..., Iterable[Foreseen]] | None = None,
    width: Callable[..., int] | None = None,
    extra: str | Mapping[str, str] | None = None,
) -> Callable[[StepFunction], StepFunction]:
    """Register a step. Its keyword-only parameters, with types and defaults, are what ``with`` may say."""

    def register(function: StepFunction) -> StepFunction:
        schema = _schema(name, function)
        _REGISTERED[name] = Step(
            name,
            function,
            version,
            schema,
            figures,
            libraries,
            frozenset(accepts),
            frozenset(gives),
            foresees,
            width,
            extra,
        )
        return function

    return register


def _schema(name: str, function: StepFunction) -> type[pydantic.BaseModel]:
    signature = inspect.signature(function, eval_str=True)
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (parameter.annotation, default)
    return pydantic.create_model(f"{name} parameters", __config__=pydantic.ConfigDict(extra="forbid"), **fields)


@functools.cache
def all_steps() -> dict[str, Step]:
    """Every step that can be used, by name."""
    from fmnist_dask.workflow import steps

    for module in pkgutil.iter_modules(steps.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{steps.__name__}.{module.name}")
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        entry.load()
    return dict(sorted(_REGISTERED.items()))


def find_step(name: str) -> Step:
    """The step of a name.

    Raises
    ------
    UsageError
        There is none.
    """
    steps = all_steps()
    if name not in steps:
        raise UsageError(f'unknown step "{name}"', nearest(name, steps))
    return steps[name]
