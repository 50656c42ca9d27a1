"""What a home has that was lived in: matplotlib's list of fonts, which takes seconds to make."""

import os
import shutil
import sys
from pathlib import Path


def furnish() -> None:
    """Put there what the environment was made with."""
    made, wanted = Path(sys.prefix, "share", "matplotlib"), os.environ.get("MPLCONFIGDIR")
    if wanted and made.is_dir():
        shutil.copytree(made, wanted, dirs_exist_ok=True)
