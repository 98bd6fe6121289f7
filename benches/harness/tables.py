"""Results as tables: text for the terminal, Markdown for docs/PERFORMANCE.md."""

HEAD = ["what", "measured", "beside", "ratio", "target", "met"]
MET = {True: "yes", False: "NO", None: ""}


def _rows(results):
    for result in results.values():
        for row in result.get("rows", [result]):
            if "failed" in row:
                yield [row["what"], f"failed: {row['failed']}", "", "", "", ""]
            else:
                ratio = f"{row['ratio']:.2f}" if row.get("ratio") is not None else ""
                yield [row["what"], row["measured"], row["beside"], ratio, row["target"], MET[row.get("met")]]


def _senders(results):
    for name, result in results.items():
        own = result.get("senders", {}).get("heliostat")
        for who, sender in result.get("senders", {}).items():
            cost, rate = sender["cpuMicroseconds"], sender["perSecond"]
            yield [name, who, f"{cost:.1f} us", f"{rate:,.0f}/s", f"{cost / own['cpuMicroseconds']:.2f}"]


def _aligned(lines):
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def text(results):
    """For the terminal."""
    lines = _aligned([HEAD, *_rows(results)])
    senders = list(_senders(results))
    if senders:
        lines += ["", *_aligned([["row", "sender", "CPU per message", "messages", "CPU beside Heliostat's"], *senders])]
    return "\n".join(lines)


def markdown(results):
    """For a page."""
    def table(head, rows):
        return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]

    lines = table(HEAD, _rows(results))
    senders = list(_senders(results))
    if senders:
        lines += ["", *table(["row", "sender", "CPU per message", "messages", "CPU beside Heliostat's"], senders)]
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- results: written by scripts/bench --record -->", "<!-- end of results -->"


def record(page, facts, results, all_rows):
    """Writes results between the two marks of a page; those of some rows alone in the place of their old ones."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    old, _, after = rest.partition(END)
    load = ", ".join(f"{load:.1f}" for load in facts["loadAverage"])
    about = (
        f"{facts['date'][:10]}, commit {facts['commit']}, {facts['cores']} cores of {facts['processor']}, "
        f"kernel {facts['kernel']}; load average when it began: {load}."
    )
    if all_rows:
        text = f"\n\n{about}\n\n{markdown(results)}\n"
    else:
        names = ", ".join(f"`{name}`" for name in results)
        text = merged(old, markdown(results)).replace("\n\n| what", f"\n{names}: {about}\n\n| what", 1)
    page.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


def merged(old, new):
    """Old tables with the lines of new ones that are about the same; what is new comes at the end of its table."""
    def is_about(line):
        return line.startswith("| ") and "---" not in line

    def subject(line):
        cells = line.split(" | ")
        # A line about a sender is named by its row, too.
        return tuple(cells[:2]) if len(cells) == 5 else cells[0]

    fresh = {subject(line): line for line in new.splitlines() if is_about(line)}
    lines = [fresh.pop(subject(line), line) if is_about(line) else line for line in old.split("\n")]
    for line in fresh.values():
        columns = line.count(" | ")
        last = max((at for at, other in enumerate(lines) if is_about(other) and other.count(" | ") == columns), default=None)
        if last is not None:
            lines.insert(last + 1, line)
    return "\n".join(lines)
