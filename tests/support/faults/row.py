"""What a row of the table says, and which versions are installed."""

from dataclasses import dataclass
from importlib import metadata
from platform import python_version

from packaging.requirements import Requirement

from tests.support import mod_wsgi

__all__ = ["Fault", "installed", "version_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row: one thing that a project does under some servers of the tests, or of ``bridge serve``."""

    name: str
    """What tests ask for. Rows of one name, each for another server or other versions, are about the same question."""
    servers: tuple[str, ...]
    versions: str
    """A requirement, with the project's name: ``granian``, ``granian<2.8.9``, ``hypercorn; python_version>="3.12"``.

    Without a bound: all versions, as far as tested. wsgiref has the version of Python itself."""
    does: str
    right: str = ""
    """What it should do. Empty: see ``lawful``."""
    lawful: str = ""
    """Why it may do so: then the row is no fault, but a difference, or a feature that it does not have."""
    wrong: object = ...
    """What a test sees then. ``...``: the test says, because it depends on the case."""
    unshown: str = ""
    """Why no test can show it: a race, most often. Then tests only make room for it, by ``known()``."""
    docs: tuple[str, ...] = ()
    """What the documentation says of it, word by word, with the versions at which the row begins or ends."""
    bridge: tuple[str, ...] = ()
    """The modules whose comments name the project's version because of it, as paths below the package."""

    def __repr__(self) -> str:
        return f"the row {self.name!r} for {self.versions!r} in tests/support/faults"


def installed(versions: str) -> bool:
    """Whether the requirement names the installed version of its project. Its Python counts too.

    Raises:
        LookupError: the project is not there.
    """
    requirement = Requirement(versions)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return False
    return requirement.specifier.contains(version_of(requirement.name), prereleases=True)


def version_of(project: str) -> str:
    """Return the installed version of a distribution; of Python or its wsgiref; or of Apache's mod_wsgi."""
    if project in ("Python", "wsgiref"):
        return python_version()
    if project == "mod_wsgi":
        return mod_wsgi.version()
    try:
        return metadata.version(project)
    except metadata.PackageNotFoundError as error:
        raise LookupError(f"{project} is not installed") from error
