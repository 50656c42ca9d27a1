"""What the stack itself says to people, and the little it knows of their languages.

A further language is one more file, and its name in `language.py`.

Nothing else in the stack holds prose for members: everything they read, apart from answers and quotations, comes out of here.
"""

from dagi.catalogue.language import LANGUAGES, Language, language_of, say

__all__ = ["LANGUAGES", "Language", "language_of", "say"]
