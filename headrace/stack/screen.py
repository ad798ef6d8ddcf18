"""What a person sees of `headrace up`: takes supervisor and figures, gives a calm picture or plain lines.

On a terminal the picture is drawn anew once a second; in a pipe there is a line when something changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.stack.arrivals import Arrival, Arrivals
from headrace.stack.counters import Counters, Figures
from headrace.stack.measures import Measures
from headrace.stack.process import Supervised
from headrace.stack.readiness import AWAY, away_of, reasons_of
from headrace.stack.supervisor import Supervisor

LOOK_SECONDS: Final = 1.0
LINE_SECONDS: Final = 30.0  # between two lines of figures in a pipe
ARRIVALS_SHOWN: Final = 6
WAITS: Final = "waits for Kafka"
ONE_COPY: Final = "one copy: survives kills, not a lost disk"


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is, and what to type."""

    collector_url: str
    admin_url: str
    kafka: str
    lake: str
    data: Path
    own_kafka: bool
    send: str
    query: str


class Screen:
    """One run of `headrace up`, as it is shown."""

    def __init__(
        self,
        places: Places,
        console: Console,
        arrivals: Arrivals | None,
        remarks: Callable[[], list[str]] = list,
    ) -> None:
        """`arrivals`: to show the newest rows as well; `remarks`: what a person should know besides."""
        self.figures = Figures()
        self._places, self._console, self._arrivals, self._remarks = places, console, arrivals, remarks
        self._newest: list[Arrival] = []
        self._began = time.monotonic()

    async def show(self, supervisor: Supervisor, measures: Measures) -> None:
        """Show until cancelled. Suspends."""
        counters = Counters(measures, time.monotonic)
        changed = asyncio.Event()
        supervisor.on_change(changed.set)
        if self._console.is_terminal:
            await self._draw(supervisor, counters, changed)
        else:
            await self._write(supervisor, counters, changed)

    async def look(self, supervisor: Supervisor, counters: Counters) -> None:
        """Take new figures, and rows."""
        self.figures = await asyncio.to_thread(counters.look, supervisor)
        if self._arrivals is not None:
            self._newest = await asyncio.to_thread(self._arrivals.newest, datetime.now(UTC), ARRIVALS_SHOWN)

    async def _draw(self, supervisor: Supervisor, counters: Counters, changed: asyncio.Event) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await self.look(supervisor, counters)
                live.update(self.picture(supervisor), refresh=True)
                await _rest(changed, LOOK_SECONDS)

    async def _write(self, supervisor: Supervisor, counters: Counters, changed: asyncio.Event) -> None:
        self._say(f"starting, all of it in {self._places.data}")
        said, said_at, told = "", time.monotonic(), False
        while not supervisor.stopping:
            await self.look(supervisor, counters)
            if supervisor.complete and not told:
                told = True
                self._say(f"ready in {time.monotonic() - self._began:.1f} s")
                self._say_places()
            trouble = "; ".join(_trouble(supervisor) + self._remarks())
            late = time.monotonic() - said_at >= LINE_SECONDS
            away = not self._places.own_kafka and away_of(supervisor)
            fell = told or away or any(one.restarts for one in supervisor.processes)
            if trouble and ((fell and trouble != said) or late):
                self._say(trouble)
                said, said_at = trouble, time.monotonic()
            elif said and told and all(one.ready for one in supervisor.processes):
                self._say("all is well again")
                said, said_at = "", time.monotonic()
            elif late and told:
                self._say(sentence(self.figures))
                said_at = time.monotonic()
            await _rest(changed, LOOK_SECONDS)
        self._say("stopping: collector, sink, Kafka, in this order; Ctrl-C again: at once")

    def _say_places(self) -> None:
        places = self._places
        self._say(f"events go to  {places.collector_url}")
        self._say(f"operators     {places.admin_url}/readyz /metrics")
        self._say(f"Kafka         {places.kafka}" + (f" ({ONE_COPY})" if places.own_kafka else ""))
        self._say(f"lake          {places.lake}")
        self._say(f"send          {places.send}")
        self._say(f"query         {places.query}")

    def _say(self, text: str) -> None:
        self._console.print(f"headrace up: {text}", soft_wrap=True, highlight=False, markup=False)
        self._console.file.flush()

    def picture(self, supervisor: Supervisor) -> RenderableType:
        """The whole picture."""
        parts: list[RenderableType] = [self._head(supervisor), "", self._processes(supervisor), ""]
        parts += [
            figures_table(self.figures),
            *(Text(f" {words}", style="yellow") for words in self._remarks()),
        ]
        parts += ["", *_advice("Send an event", self._places.send)]
        parts += _advice("Query the lake", self._places.query)
        if self._newest:
            parts += [Text("Newest rows", style="bold"), arrivals_table(self._newest)]
        return Padding(Group(*parts), (1, 1, 0, 1))

    def _head(self, supervisor: Supervisor) -> RenderableType:
        lasted = timedelta(seconds=int(time.monotonic() - self._began))
        state, style = f"running for {lasted}", "green"
        if supervisor.stopping:
            state, style = "stopping in order; Ctrl-C again: at once", "yellow"
        elif not supervisor.complete:
            state, style = f"starting, {lasted}", "yellow"
        line = Table.grid(expand=True)
        line.add_column()
        line.add_column(justify="right")
        line.add_row(
            Text.assemble(("Headrace  ", "bold"), (state, style)),
            Text("" if supervisor.stopping else "Ctrl-C drains and ends", style="dim"),
        )
        return line

    def _processes(self, supervisor: Supervisor) -> RenderableType:
        places = self._places
        where = {"kafka": places.kafka, "collector": places.collector_url, "sink": places.lake}
        table = Table.grid(padding=(0, 2))
        table.add_column(width=1)
        table.add_column(min_width=9)
        table.add_column(overflow="fold", ratio=1)
        table.add_column(overflow="fold", ratio=1)
        for role, place in where.items():
            running = supervisor.of(role)
            if role == "kafka" and not places.own_kafka:
                away = away_of(supervisor)
                words = Text(away, style="yellow") if away else Text("not ours", style="dim")
                table.add_row(Text("○", style="yellow") if away else "", role, place, words)
                continue
            table.add_row(_lamp(running), role, place, self._words(role, running))
        table.add_row("", "admin", places.admin_url, Text("/readyz /metrics", style="dim"))
        table.add_row("", "data", str(places.data), Text("logs are in logs/", style="dim"))
        return table

    def _words(self, role: str, running: list[Supervised]) -> Text:
        reasons = [_short(reason.removeprefix(f"{role}: ")) for one in running for reason in one.reasons]
        if WAITS in reasons:
            return Text(WAITS, style="yellow")  # what follows from it is not news
        if reasons or not running:
            return Text("; ".join(dict.fromkeys(reasons)) or WAITS, style="yellow")
        restarts = sum(one.restarts for one in running)
        words = [ONE_COPY] if role == "kafka" else []
        if role == "collector" and len(running) > 1:
            words.append(f"{len(running)} workers")
        if restarts:
            words.append(f"restarted {restarts} times" if restarts > 1 else "restarted once")
        return Text(", ".join(words), style="dim")


def figures_table(figures: Figures) -> Table:
    """What came and what landed."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=1)
    table.add_column(min_width=9)
    table.add_column(justify="right", min_width=11)
    table.add_column(justify="right", min_width=9, style="dim")
    table.add_column(style="dim")
    left_out = [f"{count:,} {what}" for what, count in _left_out(figures).items() if count]
    table.add_row(
        "", "accepted", f"{figures.accepted:,}", f"{figures.accepted_rate:,.0f}/s", ", ".join(left_out)
    )
    lag = "" if figures.behind is None else f"{figures.behind:,} records behind"
    table.add_row("", "landed", f"{figures.landed:,}", f"{figures.landed_rate:,.0f}/s", lag)
    return table


def arrivals_table(rows: list[Arrival]) -> Table:
    """The newest rows, the newest one last."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=1)
    for width in (8, 22, 22, 36):
        table.add_column(max_width=width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row("", f"{row.received_at:%H:%M:%S}", row.type, row.name, Text(row.who, style="dim"))
    return table


def sentence(figures: Figures) -> str:
    """The figures as one line."""
    words = [f"{figures.accepted:,} events accepted", f"{figures.landed:,} rows landed"]
    words += [f"{count:,} {what}" for what, count in _left_out(figures).items() if count]
    if figures.behind:
        words.append(f"{figures.behind:,} records behind")
    return ", ".join(words)


def _left_out(figures: Figures) -> dict[str, int]:
    return {"quarantined": figures.quarantined, "refused": figures.refused}


def _trouble(supervisor: Supervisor) -> list[str]:
    """What is worth a line: that a process starts is not."""
    return [reason for reason in reasons_of(supervisor) if not reason.endswith(": starting")]


def _short(reason: str) -> str:
    """Why Kafka is away stands in its own line."""
    return WAITS if reason.startswith(AWAY) else reason


def _lamp(running: list[Supervised]) -> Text:
    if running and all(one.ready for one in running):
        return Text("●", style="green")
    return Text("○", style="yellow")


def _advice(title: str, command: str) -> list[RenderableType]:
    return [Text(title, style="bold"), Padding(Text(command, overflow="fold"), (0, 0, 0, 3)), ""]


async def _rest(changed: asyncio.Event, seconds: float) -> None:
    """Until something changed, and then a moment, so that a storm of changes is drawn once."""
    try:
        await asyncio.wait_for(changed.wait(), seconds)
        await asyncio.sleep(0.1)
    except TimeoutError:
        return
    finally:
        changed.clear()
