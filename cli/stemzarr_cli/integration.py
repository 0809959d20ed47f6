"""What makes stemzarr a part of a system: a service that watches, an icon that opens files."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import click

__all__ = ["SERVICES", "describe_service", "desktop_option"]

SERVICES = ("systemd", "windows", "macos")

_UNIT = """\
# Save as ~/.config/systemd/user/stemzarr-watch.service, then
#   systemctl --user daemon-reload
#   systemctl --user enable --now stemzarr-watch
#   loginctl enable-linger        (it then runs without a login, too)
#   journalctl --user -u stemzarr-watch -f        (what it says)
[Unit]
Description=stemzarr ingests what arrives
Wants=network-online.target
After=network-online.target
{mounts}
[Service]
ExecStart={command}
KillSignal=SIGINT
SuccessExitStatus=130
Restart=on-failure
RestartSec=60
Nice=10

[Install]
WantedBy=default.target
"""

_TASK = """\
# Run in PowerShell as administrator. Name network shares as \\\\server\\share: a service has no
# drive letters. It runs as you, also when you are not logged in; your password is asked for once.
$action = New-ScheduledTaskAction -Execute {program} -Argument {arguments}
$trigger = New-ScheduledTaskTrigger -AtStartup
$settings = New-ScheduledTaskSettingsSet -RestartCount 999 `
    -RestartInterval (New-TimeSpan -Minutes 1) -ExecutionTimeLimit ([TimeSpan]::Zero)
$who = Get-Credential "$env:USERDOMAIN\\$env:USERNAME"
Register-ScheduledTask -TaskName "stemzarr watch" -Action $action -Trigger $trigger `
    -Settings $settings -User $who.UserName -Password $who.GetNetworkCredential().Password
Start-ScheduledTask -TaskName "stemzarr watch"
# Get-ScheduledTaskInfo "stemzarr watch" says how it is; Unregister-ScheduledTask removes it.
"""

_AGENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Save as ~/Library/LaunchAgents/org.stemzarr.watch.plist, then
     launchctl bootstrap gui/$UID ~/Library/LaunchAgents/org.stemzarr.watch.plist -->
<plist version="1.0">
<dict>
  <key>Label</key><string>org.stemzarr.watch</string>
  <key>ProgramArguments</key>
  <array>
{words}
  </array>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>StandardErrorPath</key><string>{log}</string>
</dict>
</plist>
"""

_ENTRY = """\
# Save as ~/.local/share/applications/stemzarr.desktop, or on the desktop, and allow it to be run.
[Desktop Entry]
Type=Application
Name=stemzarr
Comment=Look at a 4D-STEM scan, or the lake, in the browser
Exec={command} %f
Terminal=true
Categories=Science;Education;
"""

_SHORTCUT = """\
# Run in PowerShell. A file or the folder of a lake that is dropped on the icon is shown.
$folder = [Environment]::GetFolderPath("Desktop")
$link = (New-Object -ComObject WScript.Shell).CreateShortcut("$folder\\stemzarr.lnk")
$link.TargetPath = {program}
$link.Arguments = {arguments}
$link.WorkingDirectory = $HOME
$link.Save()
"""


def describe_service(system: str, words: Sequence[str], folders: Sequence[Path]) -> str:
    """Return what makes a command a service of a system.

    Parameters
    ----------
    system
        One of `SERVICES`.
    words
        The command's words after ``stemzarr``, its paths absolute.
    folders
        Folders that must be there before it can start.
    """
    command = [sys.executable, "-m", "stemzarr_cli", *words]
    if system == "systemd":
        mounts = "".join(f"RequiresMountsFor={_quote(str(one))}\n" for one in folders)
        return _UNIT.format(mounts=mounts, command=" ".join(map(_quote, command)))
    if system == "windows":
        return _TASK.format(**_powershell(command))
    lines = "\n".join(f"    <string>{escape(word)}</string>" for word in command)
    log = escape(str(Path.home() / "Library" / "Logs" / "stemzarr-watch.log"))
    return _AGENT.format(words=lines, log=log)


def desktop_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give ``explore`` the option that prints an icon for the desktop, and ends it."""

    def show(ctx: click.Context, _: click.Parameter, system: str | None) -> None:
        if system is None or ctx.resilient_parsing:
            return
        words = [sys.executable, "-m", "stemzarr_cli", "explore"]
        if system == "windows":
            said = _SHORTCUT.format(**_powershell(words))
        else:
            said = _ENTRY.format(command=" ".join(map(_quote_entry, words)))
        click.echo(said, nl=False)
        ctx.exit()

    return click.option(
        "--desktop",
        type=click.Choice(["linux", "windows"]),
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Print what makes an icon that opens what is dropped on it, and end.",
    )(command)


def _quote(word: str) -> str:
    """Return a word as systemd reads it: no variables, no specifiers."""
    quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return quoted if quoted == shlex.quote(quoted) else f'"{quoted}"'


def _quote_entry(word: str) -> str:
    """Return a word as a desktop entry reads it."""
    plain = word.replace("%", "%%")
    return plain if word == shlex.quote(word) else f'"{plain}"'


def _powershell(command: Sequence[str]) -> dict[str, str]:
    """Return a program and its arguments as texts of PowerShell."""
    arguments = subprocess.list2cmdline(command[1:]).replace("'", "''")
    return {"program": "'" + command[0].replace("'", "''") + "'", "arguments": f"'{arguments}'"}
