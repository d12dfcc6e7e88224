"""Faults that a test switches on by name; each has a closed set of parameters."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from infra.plan.model import Closed

F = TypeVar("F", bound=Closed)


class FaultError(ValueError):
    """A fault's name or parameters are wrong; the text says what is allowed."""


class ClockOffset(Closed):
    """The venue's clock is this far ahead (negative: behind)."""

    ms: int


class HttpStatus(Closed):
    """REST answers this status; with ``after`` the request was carried out all the same."""

    status: Annotated[int, Field(ge=400, le=599)]
    retry_after: int | None = None
    paths: tuple[str, ...] = ()
    """Paths that fail; none means all."""

    after: bool = False


class Faults:
    """The faults that are on. ``known`` gives each name its parameters' model."""

    def __init__(self, known: dict[str, type[Closed]]) -> None:
        self.known = known
        self._active: dict[str, Closed] = {}

    def set(self, name: str, parameters: object) -> Closed:
        """Switch one fault on (or its parameters over); FaultError if there is no such fault."""
        model = self.known.get(name)
        if model is None:
            raise FaultError(f"unknown fault {name!r}; known: {', '.join(sorted(self.known))}")
        try:
            fault = model.model_validate({} if parameters is None else parameters)
        except ValidationError as error:
            raise FaultError(f"fault {name!r}: {error}") from error
        self._active[name] = fault
        return fault

    def clear(self, name: str | None = None) -> None:
        """Switch one fault off, or all."""
        if name is None:
            self._active.clear()
        else:
            self._active.pop(name, None)

    def get(self, kind: type[F]) -> F | None:
        """Return the parameters of the active fault of this kind, or None."""
        for fault in self._active.values():
            if isinstance(fault, kind):
                return fault
        return None

    def document(self) -> dict[str, Any]:
        """Return the active faults, as they were given."""
        return {name: fault.model_dump(mode="json") for name, fault in self._active.items()}
