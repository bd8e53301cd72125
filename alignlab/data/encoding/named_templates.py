"""Chat templates by name, for tokenizers that bring none, or one that does not serve."""

from pathlib import Path

from alignlab.errors import ConfigError, nearest

FOLDER = Path(__file__).parent / "chat_templates"
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.jinja")))
"""The names of the templates that come with this package."""
LARGEST = 2**20
"""The bytes of the largest file that is read as a template."""


def named_template(name: str) -> str:
    """The text of a chat template: one of `NAMES`, or a file of one's own, by its path.

    Raises ConfigError where there is none of that name, or no readable file.
    """
    own = Path(name).expanduser()
    if "/" not in name and not own.suffix:
        if name not in NAMES:
            raise ConfigError(
                f"model.chat_template={name}: no such template: {nearest(name, NAMES)}; or give the path of a file "
                "(/path/to/file.jinja)"
            )
        own = FOLDER / f"{name}.jinja"
    try:
        if own.stat().st_size > LARGEST:
            raise ConfigError(
                f"model.chat_template={name}: {own.stat().st_size} bytes, which is no template: give another file"
            )
        return own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"model.chat_template={name}: no readable file: {error}") from error
