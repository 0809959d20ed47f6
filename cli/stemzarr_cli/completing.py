"""What the shell completes: names, fields, facts and tags of the lake; files are left to the shell.

It is asked at every press of a key, so that it reads the index as it is and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

__all__ = [
    "SHELLS",
    "complete_commands",
    "complete_facts",
    "complete_fields",
    "complete_files",
    "complete_names",
    "complete_query",
    "complete_sources",
    "complete_tags",
    "register_shells",
    "script_for",
]

SHELLS = ("bash", "zsh", "fish", "powershell")
_VARIABLE = "_STEMZARR_COMPLETE"
_MOST = 500
_TO_QUOTE = re.compile(r"[\s\"'()<>;|&$`*?!\\\[\]{}]")

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line type value word="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    for line in $(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
                  %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        type="${line%%%%,*}"; value="${line#*,}"
        case "$type" in
            file) compopt -o filenames; COMPREPLY+=($(compgen -f -- "$word")) ;;
            dir) compopt -o filenames; COMPREPLY+=($(compgen -d -- "$word")) ;;
            plain) COMPREPLY+=("$value"); [[ "$value" == *= ]] && compopt -o nospace ;;
        esac
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a words_alone described unfinished response
    local type key descr
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for type key descr in ${response}; do
        if [[ "$type" == dir ]]; then
            _path_files -/
        elif [[ "$type" == file ]]; then
            _path_files -f
        elif [[ "$key" == *= ]]; then
            unfinished+=("$key":"$descr")
        elif [[ "$descr" == _ ]]; then
            words_alone+=("$key")
        else
            described+=("$key":"$descr")
        fi
    done
    (( $#unfinished )) && _describe -V unsorted unfinished -U -S ''
    (( $#described )) && _describe -V unsorted described -U
    (( $#words_alone )) && compadd -U -V unsorted -a words_alone
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $env:%(complete_var)s = "powershell_complete"
    $env:COMP_WORDS = $commandAst.ToString()
    $env:COMP_CWORD = $wordToComplete
    $lines = & %(prog_name)s 2>$null
    Remove-Item Env:%(complete_var)s, Env:COMP_WORDS, Env:COMP_CWORD
    foreach ($line in $lines) {
        $type, $value, $help = $line -split "`t", 3
        if ($type -eq "plain") {
            if (-not $help) { $help = $value }
            $result = [System.Management.Automation.CompletionResult]
            $result::new($value, $value, "ParameterValue", $help)
        } else {
            [System.Management.Automation.CompletionCompleters]::CompleteFilename($wordToComplete)
        }
    }
}
"""


class _Bash(BashComplete):
    """Adds files to names, which click's own function leaves out."""

    source_template = _BASH

    def source(self) -> str:
        """Return the function, whatever version of bash is the system's."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one.

        bash takes ``kind=4d`` for three words, and replaces the last of them alone.
        """
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        before = _joined(words[1:place])
        incomplete = words[place] if place < len(words) else ""
        self._kept = ""
        if incomplete == "=" and before:
            self._kept, incomplete = f"{before.pop()}=", ""
        elif before and before[-1].endswith("="):
            self._kept = before.pop()
        return before, self._kept + incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return a line: type and value, without what bash keeps, its blanks quoted."""
        value = str(item.value).removeprefix(self._kept)
        if item.type == "plain":
            value = _TO_QUOTE.sub(r"\\\g<0>", value)
        return f"{item.type},{value}"


def _joined(words: list[str]) -> list[str]:
    """Return words with those joined again that an equals sign cut."""
    joined: list[str] = []
    for word in words:
        if joined and (word == "=" or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


class _Zsh(ZshComplete):
    """Adds no blank behind an equals sign, after which a value is still to come."""

    source_template = _ZSH


class _PowerShell(ShellComplete):
    """A completer for PowerShell, which click does not have."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        words = split_arg_string(os.environ["COMP_WORDS"])[1:]
        incomplete = os.environ.get("COMP_CWORD", "")
        return (words[:-1] if incomplete and words else words), incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return a line: type, value and help between tabs."""
        return f"{item.type}\t{item.value}\t{item.help or ''}"


def register_shells() -> None:
    """Teach click the shells that it does not know, or serves worse."""
    add_completion_class(_Bash, "bash")
    add_completion_class(_Zsh, "zsh")
    add_completion_class(_PowerShell, "powershell")


def script_for(shell: str, program: click.Command) -> str:
    """Return what a shell evaluates to complete the program's words."""
    register_shells()
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - one of SHELLS
    return found(program, {}, "stemzarr", _VARIABLE).source()


Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_commands(commands: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Return the commands that begin like a word, with their lines; a path stands for ``info``."""
    found = [CompletionItem(name, help=line) for name, line in commands]
    return [*_beginning(found, incomplete), CompletionItem(incomplete, type="file")]


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell to complete files."""
    return [CompletionItem(incomplete, type="file")]


def complete_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of entries that begin like a word, without case."""
    sql = "SELECT name, kind FROM entry WHERE substr(name, 1, ?) = ? COLLATE NOCASE"
    rows = _ask(ctx, f"{sql} ORDER BY name", (len(incomplete), incomplete))
    return [CompletionItem(name, help=kind) for name, kind in rows]


def complete_sources(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return names of entries, and leave files to the shell."""
    return [*complete_names(ctx, param, incomplete), *complete_files(ctx, param, incomplete)]


def complete_tags(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the tags that people gave."""
    rows = _ask(ctx, "SELECT DISTINCT tag FROM tagged ORDER BY tag")
    return _beginning([CompletionItem(tag) for (tag,) in rows], incomplete)


def complete_fields(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the fields that a query knows."""
    return _beginning([CompletionItem(name, help=line) for name, line in _fields(ctx)], incomplete)


def complete_facts(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the facts and calibrations that can be revised, and names before them."""
    from stemzarr.metadata.facts import FACTS

    facts = [
        CompletionItem(f"{fact.name}=", help=fact.meaning) for fact in FACTS if fact.type != "flag"
    ]
    axes = [
        CompletionItem(f"{axis}.{part}=", help=f"{part} of the axis")
        for axis in ("det", "scan")
        for part in ("scale", "offset", "units")
    ]
    first = not ctx.params.get(param.name or "") and not ctx.params.get("query")
    names = complete_sources(ctx, param, incomplete) if first and param.name == "words" else []
    return [*names, *_beginning([*facts, *axes], incomplete)]


def complete_query(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return fields with ``=`` behind them, and behind that the values that they have."""
    field, equals, value = incomplete.partition("=")
    if equals:
        return _values(ctx, field, f"{field}=", value)
    fields = [CompletionItem(f"{name}=", help=line) for name, line in _fields(ctx)]
    return _beginning([*fields, CompletionItem("tag=", help="tag that a person gave")], incomplete)


def _values(ctx: click.Context, name: str, start: str, incomplete: str) -> list[CompletionItem]:
    """Return the values of a field among the entries; texts alone, numbers are not typed so."""
    from stemzarr_catalog.fields import field_of

    field = field_of(name)
    if name.lower() == "tag":
        sql = "SELECT DISTINCT tag FROM tagged"
    elif field is not None and field.type == "text":
        sql = f'SELECT DISTINCT "{field.name}" FROM entry'  # noqa: S608 - one of our own names
    else:
        return []
    values = [value for (value,) in _ask(ctx, f"{sql} ORDER BY 1") if value]
    plain = [value for value in values if not set(value) & set(" \t\"'()<>;|&,")]
    found = _beginning([CompletionItem(value) for value in plain], incomplete)
    return [CompletionItem(f"{start}{item.value}") for item in found]


def _fields(ctx: click.Context) -> list[tuple[str, str]]:
    from stemzarr_catalog.fields import FIELDS

    own = _ask(ctx, "SELECT DISTINCT field FROM extra WHERE own")
    return [*((name, field.meaning) for name, field in FIELDS.items()), *((n, "") for (n,) in own)]


def _beginning(items: Iterable[CompletionItem], incomplete: str) -> list[CompletionItem]:
    start = incomplete.lower()
    return [item for item in items if str(item.value).lower().startswith(start)]


def _ask(ctx: click.Context, sql: str, values: tuple[object, ...] = ()) -> list[tuple[str, ...]]:
    """Return rows of the index as it is; none where there is no lake, or it cannot be read."""
    from stemzarr_catalog.index import Index
    from stemzarr_catalog.opening import find_lake

    lake = ctx.params.get("lake")
    with contextlib.suppress(sqlite3.Error, OSError, ValueError):
        path = find_lake(lake if isinstance(lake, str | Path) else None) / "catalog.sqlite"
        if path.is_file():
            with Index(path).reading() as connection:
                return connection.execute(sql, values).fetchmany(_MOST)
    return []
