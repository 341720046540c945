"""``configs/README.md``: the settings as a page, made from the same fields as the options."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import ALIASES, ROOT, Config
from pipeline.old_keys import NO_LONGER_NEEDED
from utils.config import groups_of, options_of, type_name, write_value


def readme_text() -> str:
    """``configs/README.md``: every key with its type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Written by `python -m pipeline.config_readme`; do not edit. Every key can be set in a config file",
        "(`key = value`) or on the command line (`--key value`, for switches `--key` and `--no-key`). The command line",
        "overrides config files, later files override earlier ones, files override what the object was trained with,",
        "and that overrides the defaults.",
    ]
    for group, config in [("", Config), *groups_of(Config).items()]:
        title = (config.__doc__ or "").strip().split("\n")[0].rstrip(".")
        lines += ["", f"## {title}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        for option in options_of(Config):
            if option.group == group:
                kind = type_name(option).replace("|", " \\| ")
                default = f"`{write_value(option.default)}`" if write_value(option.default) else ""
                lines.append(f"| `{option.key}` | {kind} | {default} | {option.help} |")
    lines += ["", "## Other names of keys", "", "| key | also |", "|---|---|"]
    lines += [f"| `{key}` | {', '.join(f'`{alias}`' for alias in aliases)} |" for key, aliases in ALIASES.items()]
    lines += [
        "",
        "The paper's config files work as they are: `half_res` sets `image_size` to 400 (True) or 800 (False),",
        "`white_bkgd` sets `background`, `datadir` sets `data_dir` and `object_name`. Accepted without effect:",
        "",
        ", ".join(f"`{key}`" for key in sorted(NO_LONGER_NEEDED, key=str.lower)) + ".",
        "",
    ]
    return "\n".join(lines)


def write_readme(path: Path) -> None:
    """Write ``configs/README.md``."""
    path.write_text(readme_text(), encoding="utf-8")


if __name__ == "__main__":
    write_readme(ROOT / "configs" / "README.md")
