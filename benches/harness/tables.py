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


def record(page, facts, results):
    """Writes results between the two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    load = ", ".join(f"{load:.1f}" for load in facts["loadAverage"])
    about = (
        f"{facts['date'][:10]}, commit {facts['commit']}, {facts['cores']} cores of {facts['processor']}, "
        f"kernel {facts['kernel']}; load average when it began: {load}."
    )
    page.write_text(f"{before}{BEGIN}\n\n{about}\n\n{markdown(results)}\n{END}{after}", encoding="utf-8")
