"""``raftwork schedules``: tasks that are submitted again and again."""

import argparse
from typing import Any, Dict

from ._common import (
    DONE,
    add_cluster_options,
    add_command,
    age,
    connect,
    keyword,
    print_fields,
    print_json,
    print_rows,
    value_of,
)
from .run import add_task_options, with_task_options

_EXAMPLES = """\
  raftwork schedules                                          every one, with its next time
  raftwork schedules add report jobs.py:report eu --cron "30 9 * * MON-FRI" --time-zone Europe/Berlin
  raftwork schedules add sweep jobs.py:sweep --every 15m --overlap skip
  raftwork schedules show report                              the next times
  raftwork schedules pause report                             until: raftwork schedules resume report
  raftwork schedules trigger report                           one task now
"""
_ACTIONS = {
    "pause": ("Fire for nothing until it is resumed.", "is paused"),
    "resume": ("Fire for times from now on.", "fires from now on"),
    "delete": ("Fire no more; tasks go on.", "is deleted"),
}


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "schedules", "Make, list and change schedules.", _EXAMPLES, _list)
    add_cluster_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(actions, "list", "List schedules.", "  raftwork schedules list\n", _list)
    add_cluster_options(listing)
    _add_add(actions)
    show = add_command(
        actions, "show", "Show a schedule and its next times.", "  raftwork schedules show report\n", _show
    )
    _add_name(show)
    for action, (summary, _) in _ACTIONS.items():
        _add_name(add_command(actions, action, summary, f"  raftwork schedules {action} report\n", _change))
    summary = "Submit one of its tasks now, paused or not; print the task's id."
    _add_name(add_command(actions, "trigger", summary, "  raftwork schedules trigger report\n", _trigger))


def _add_add(actions: Any) -> None:
    example = (
        '  raftwork schedules add report jobs.py:report eu --cron "30 9 * * MON-FRI" --time-zone Europe/Berlin\n'
        "  raftwork schedules add sweep jobs.py:sweep --every 15m --overlap skip --timeout 10m\n"
    )
    parser = add_command(actions, "add", "Make a schedule, or replace the one of this name.", example, _add)
    parser.add_argument("name", metavar="NAME", help="its name")
    parser.add_argument("target", metavar="TARGET", help="file.py:function, or package.module:function")
    parser.add_argument("args", nargs="*", metavar="ARG", type=value_of, help="JSON, or else the text itself")
    parser.add_argument("--kw", action="append", default=[], type=keyword, metavar="NAME=VALUE", help="repeatable")
    when = parser.add_mutually_exclusive_group(required=True)
    text = "minute, hour, day of the month, month, day of the week; seconds may stand in front"
    when.add_argument("--cron", metavar="PATTERN", help=text)
    when.add_argument("--every", metavar="SPAN", help="again after this span, as in 15m")
    parser.add_argument("--time-zone", metavar="ZONE", help="of the pattern, as in Europe/Berlin (default: UTC)")
    text = "for times that were missed: the latest one, all, or none that is over a minute late (default: latest)"
    parser.add_argument("--catch-up", choices=("latest", "all", "skip"), default="latest", help=text)
    parser.add_argument("--catch-up-max", type=int, metavar="N", help="with all: the latest N (default: 100)")
    text = "while a task of it has not ended: submit another, leave the time out, or have one wait (default: allow)"
    parser.add_argument("--overlap", choices=("allow", "skip", "queue"), default="allow", help=text)
    add_task_options(parser, scheduled=True)
    add_cluster_options(parser)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="its name")
    add_cluster_options(parser)


def _add(arguments: argparse.Namespace) -> int:
    from ._target import load

    function = load(arguments.target)
    with connect(arguments) as client:
        submittable = with_task_options(client, function, arguments)
        schedule = client.schedules.put(
            arguments.name,
            submittable,
            arguments.args,
            dict(arguments.kw),
            cron=arguments.cron,
            every=arguments.every,
            time_zone=arguments.time_zone,
            catch_up=arguments.catch_up,
            catch_up_max=arguments.catch_up_max,
            overlap=arguments.overlap,
        )
        _print(schedule.info(), arguments.json)
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.schedules.list()
    columns = [
        ("NAME", lambda schedule: schedule["name"]),
        ("WHEN", _when),
        ("NEXT", lambda schedule: "paused" if schedule["paused"] else (schedule["next"] or [None])[0]),
        ("FIRED", lambda schedule: schedule["fired"]),
        ("SKIPPED", lambda schedule: schedule["skipped"]),
        ("LIVE", lambda schedule: schedule["live"]),
        ("AGE", lambda schedule: age(schedule["made_at"])),
    ]
    return print_rows(arguments, columns, found, "no schedules; make one with: raftwork schedules add")


def _show(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        _print(client.schedules.get(arguments.name).info(), arguments.json)
    return DONE


def _change(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        schedule = client.schedules.get(arguments.name)
        getattr(schedule, arguments.action)()
    if arguments.json:
        print_json({"name": arguments.name, "done": arguments.action})
    else:
        print(f"schedule '{arguments.name}' {_ACTIONS[arguments.action][1]}")
    return DONE


def _trigger(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        handle = client.schedules.get(arguments.name).trigger()
    print_json({"task_id": handle.id}) if arguments.json else print(handle.id)
    return DONE


def _print(schedule: Dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(schedule)
        return
    most = f", at most {schedule['catch_up_max']}" if schedule.get("catch_up_max") else ""
    print_fields(
        [
            ("schedule", schedule["name"]),
            ("when", _when(schedule)),
            ("function", schedule["function_id"]),
            ("catch up", schedule["catch_up"] + most),
            ("overlap", schedule["overlap"]),
            ("paused", "yes" if schedule["paused"] else "no"),
            ("fired", f"{schedule['fired']}, {schedule['skipped']} left out, {schedule['live']} not ended"),
            ("dealt with", f"up to {schedule['last']}"),
        ]
    )
    for time in schedule["next"]:
        print(f"  next {time}")


def _when(schedule: Dict[str, Any]) -> str:
    if schedule.get("every"):
        return f"every {schedule['every']}"
    return f"{schedule['cron']} ({schedule['time_zone']})"
