"""The pages /tasks and /bthreads: the asyncio tasks of all loops."""

from __future__ import annotations

from pybrpc.base.guard import escaped
from pybrpc.builtin.html import Html, join, tag
from pybrpc.builtin.layout import html_page
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.process.task_dump import LoopDump, TaskDump, loop_dumps
from pybrpc.builtin.process.thread_dump import stack_block, stack_lines
from pybrpc.builtin.server_view import ServerView


def show_tasks(request: PageRequest, server: ServerView) -> PageResponse:
    """All tasks, or the one whose id is in the path."""
    loops = loop_dumps()
    if request.path:
        loops = [_only(loop, request.path) for loop in loops]
        loops = [loop for loop in loops if loop.tasks]
        if not loops:
            raise PageError(404, "there is no such task any more")
    if request.wants_html:
        content = [_loop_block(loop) for loop in loops]
        if not content:
            content = [tag("p", "No loop runs or has tasks.", class_="empty")]
        return html_page(request, server, "Tasks", content)
    if not loops:
        return PageResponse("no loop runs or has tasks\n")
    return PageResponse("\n".join("\n".join(_loop_lines(loop)) for loop in loops))


def _only(loop: LoopDump, number: str) -> LoopDump:
    return LoopDump(loop.name, [task for task in loop.tasks if f"{task.number:x}" == number])


def title_of(task: TaskDump) -> str:
    """One line about a task."""
    waits = f", waits for {task.waits_for}" if task.waits_for else ""
    return f"{task.name} [{task.number:x}] {task.state}{waits}"


def _summary(loop: LoopDump) -> str:
    if loop.is_unreadable:
        return f"{loop.name}: its tasks can't be read now"
    more = f", of which {loop.left_out} are not shown" if loop.left_out else ""
    return f"{loop.name}: {len(loop.tasks) + loop.left_out} tasks{more}"


def _loop_lines(loop: LoopDump) -> list[str]:
    lines = [escaped(_summary(loop)), ""]
    for task in loop.tasks:
        lines += [escaped(title_of(task)), *stack_lines(task.chain), ""]
    return lines


def _loop_block(loop: LoopDump) -> Html:
    numbers = {task.number for task in loop.tasks}
    return tag(
        "section",
        tag("h2", _summary(loop)),
        [_task_block(task, numbers) for task in loop.tasks],
    )


def _task_block(task: TaskDump, numbers: set[int]) -> Html:
    awaited = None
    if task.awaited_task in numbers:
        awaited = tag("p", tag("a", task.waits_for, href=f"#task-{task.awaited_task:x}"))
    return join(
        tag(
            "details",
            tag("summary", title_of(task)),
            stack_block(task.chain),
            awaited,
            id=f"task-{task.number:x}",
        )
    )


ENTRIES = (
    PageEntry("tasks", show_tasks, "Check asyncio tasks and what they await"),
    PageEntry("bthreads", show_tasks, "As /tasks"),
)
