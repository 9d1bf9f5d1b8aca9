"""Mistakes with schedulers in scripts, found by reading them: nothing is run or imported."""

from warmdown.lint.files import fix_text as fix_text
from warmdown.lint.files import lint_file as lint_file
from warmdown.lint.files import lint_files as lint_files
from warmdown.lint.files import lint_text as lint_text
from warmdown.lint.files import python_files as python_files
from warmdown.lint.finding import Edit as Edit
from warmdown.lint.finding import Finding as Finding
from warmdown.lint.finding import page_of as page_of
from warmdown.lint.rules import RULES as RULES
from warmdown.lint.settings import LintSettings as LintSettings
from warmdown.lint.settings import read_codes as read_codes
from warmdown.lint.settings import read_settings as read_settings
