"""The report of a replay, to be read. What a reader wrote is shown, so the file is as private as the log."""

from collections.abc import Mapping, Sequence

from streams.replay.engagement import CLIP
from streams.replay.pairstables import pairs_table
from streams.replay.report import ItemShift, Report, VariantReport
from streams.replay.segments import Feed
from streams.replay.tables import HEADINGS, estimated, table


def markdown(report: Report, plots: Sequence[str]) -> str:
    """The whole report; `plots` are file names beside it."""
    parts = ["# Replay", "", *_head(report), "", "## Variants", "", *_variants(report), ""]
    for plot in plots:
        parts += [f"![{plot.partition('.')[0]}]({plot})", ""]
    if report.pairs:
        parts += ["## Variants compared", "", *pairs_table(report), ""]
    for variant in report.variants:
        parts += [f"## {variant.name}", "", *_variant(variant, report.titles), ""]
    return "\n".join([*parts, "## How to read this", "", *_method(report)]) + "\n"


def _head(report: Report) -> list[str]:
    rows = [
        ("log", _code(report.log)),
        ("candidate lists", f"{report.lists:,}, of them ranked {report.ranked:,}"),
        ("users", f"{report.users:,}"),
        *((name, f"{count:,}") for name, count in sorted(report.events.items())),
        *((f"lines skipped: {reason}", f"{count:,}") for reason, count in sorted(report.bad.items())),
        *((f"in the log: {name}", f"{count:,}") for name, count in report.known.items() if count),
    ]
    if checked := report.checked:
        rows.append(("rankings as recorded", f"{checked.same:,}"))
        rows.append(("rankings that differ", f"{checked.different:,} {' '.join(map(_code, checked.some_different))}"))
        rows.append(("lists without a recorded ranking", f"{checked.not_recorded:,}"))
    return table(("", ""), rows)


def _variants(report: Report) -> list[str]:
    names = [name for name in HEADINGS if name in report.variants[0].figures]
    rows = [(HEADINGS[name], *(estimated(variant.figures[name]) for variant in report.variants)) for name in names]
    whys = sorted({why for variant in report.variants for why in variant.degraded})
    rows += [
        (f"degraded: {why}", *(f"{variant.degraded.get(why, 0):,}" for variant in report.variants)) for why in whys
    ]
    return table(("", *(variant.name for variant in report.variants)), rows)


def _variant(variant: VariantReport, titles: Mapping[str, str]) -> list[str]:
    weight = "the log's weights" if variant.weight is None else f"weight {variant.weight:g}"
    lines = [f"{weight[0].upper()}{weight[1:]}, fusion by {variant.fusion}, bundle {variant.bundle}.", ""]
    for heading, items in (("Promoted most", variant.promoted), ("Demoted most", variant.demoted)):
        if items:
            lines += [f"### {heading}", "", *_items(items), ""]
    if variant.users:
        rows = [
            (_code(user.user_id), f"{user.lists:,}", estimated(user.overlap), f"{user.rho:.2f}", _number(user.gain))
            for user in variant.users
        ]
        lines += ["### Users affected most", "", *table(("user", "lists", "overlap", "ρ", "gain"), rows), ""]
    if variant.feeds:
        lines += ["### Feeds that changed most", ""]
        for feed in variant.feeds:
            lines += [*_feed(feed, titles), ""]
    return lines


def _items(items: Sequence[ItemShift]) -> list[str]:
    rows = [
        (
            _code(item.item_id), _plain(item.title), f"{item.lists:,}", f"{item.entered:,}", f"{item.left:,}",
            estimated(item.shift, sign=True),
        )
        for item in items
    ]  # fmt: skip
    return table(("item", "title", "lists", "into the top 10", "out of it", "mean places up"), rows)


def _feed(feed: Feed, titles: Mapping[str, str]) -> list[str]:
    def name(item_id: str) -> str:
        return _plain(titles[item_id]) if item_id in titles else _code(item_id)

    asked = f"“{_plain(feed.request)}”" if feed.request else "no request"
    rows = [
        (str(place), name(before), name(after) if after in feed.before else f"**{name(after)}**")
        for place, (before, after) in enumerate(zip(feed.before, feed.after, strict=True), 1)
    ]
    head = f"User {_code(feed.user_id)}, list {_code(feed.event_id)}: {asked}, weight {feed.weight:g}; "
    return [f"{head}overlap {feed.overlap:.1f}, ρ {feed.rho:.2f}", "", *table(("", "before", "after"), rows)]


def _method(report: Report) -> list[str]:
    lines = [
        "- Figures are means with 95 % intervals over users: the lists of a user count as one cluster (linearised "
        "cluster-robust errors, Student's t).",
        "- Alignment is the bundle's own calibrated estimate, not a judge's: it says how far a ranking follows the "
        "request as the bundle understands it, and bundles differ in that.",
        "- The intervals of single items are over ten groups of users (delete-a-group jackknife), those of single users over "
        "their lists. Items and users are picked by their figures: the true ones lie nearer to the mean of all.",
        "- Adherence gain is the share of what the best order would have gained, over lists that leave something to gain.",
        "- The top is the first ten places; ρ is 1 for the same order and -1 for its reverse.",
    ]
    if report.known.get("clicks"):
        lines.append(
            f"- Estimated clicks weigh each click by θ(place under the variant) / θ(place shown), at most {CLIP:g}, with "
            f"θ(k) = (k + 1)^-{report.eta:g}: the position-based model. They say nothing of items that nobody was shown, "
            "and are as good as that model; their intervals hold the variation between users, not the model's error."
        )
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _plain(text: str) -> str:
    """A reader's or a catalogue's words, so that they are only that."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    for special in "\\`*_[]<>|#":
        shown = shown.replace(special, "\\" + special)
    return shown


def _code(text: str) -> str:
    shown = "".join(character if character.isprintable() and character not in "`|" else "?" for character in text)
    return f"`{shown}`"
