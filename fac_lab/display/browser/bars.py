"""A feature's activations in several data sets as a small drawing (SVG): at once there at every step of the list.

A figure of plotly would send its library again and take a second on a slow machine; this takes a few kB.
"""

import math

from markupsafe import Markup

from fac_lab.browsing.histograms import Histogram
from fac_lab.display.theme import colour

ROLES = ("anchor", "seed", "synthetic")
WIDTH, HEIGHT = 440, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 16, 36
MAX_TICKS = 9
_BAR = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>')
_LINE = Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}" text-anchor="end">{}</text>')


def histogram_html(found: Histogram, *, delta: float) -> Markup:
    """Shares of all samples by activation, all data sets on one axis, the threshold marked.

    Samples in which the feature is silent are left out and counted in the legend. Nothing where it is silent in all.
    """
    n = len(found.lower)
    if not n:
        return Markup("")
    roles = [role for role in ROLES if role in found.counts]
    most = max(float(found.share(role).max()) for role in roles) or 1.0
    step = (WIDTH - LEFT - RIGHT) / n
    floor = HEIGHT - BOTTOM
    parts = [_share_axis(most, floor), _activation_axis(found, step, floor)]
    for place, role in enumerate(roles):
        width = 0.86 * step / len(roles)
        for bar, (count, share) in enumerate(zip(found.counts[role], found.share(role), strict=True)):
            if not count:
                continue
            height = max(1.0, share / most * (floor - TOP))
            parts.append(
                Markup(
                    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>'
                ).format(
                    LEFT + (bar + 0.07) * step + place * width,
                    floor - height,
                    width,
                    height,
                    colour(role),
                    f"{role}: {count:,} samples ({share:.2%}), activation "
                    f"{found.lower[bar]:.4g} to {found.upper[bar]:.4g}",
                )
            )
    parts.append(_threshold(found, delta, step, floor))
    legend = Markup("").join(
        Markup('<span><i style="background:{}"></i> {}: {:,} of {:,}</span> ').format(
            colour(role), role, found.n_samples[role] - found.silent(role), found.n_samples[role]
        )
        for role in roles
    )
    words = "How strongly it fires: " + "; ".join(
        f"{role} in {found.n_samples[role] - found.silent(role):,} of {found.n_samples[role]:,} samples"
        for role in roles
    )
    return Markup(
        '<p class="fl-legend">{}</p><svg class="fl-bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(legend, WIDTH, HEIGHT, words, Markup("").join(parts))


def _share_axis(most: float, floor: float) -> Markup:
    lines = (
        Markup(
            '<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, y, y, LEFT - 4, y + 4, f"{100 * part * most:.2g} %")
        for part, y in ((part, floor - part * (floor - TOP)) for part in (0.0, 0.5, 1.0))
    )
    return Markup("").join(lines)


def _activation_axis(found: Histogram, step: float, floor: float) -> Markup:
    edges = [*found.lower.tolist(), float(found.upper[-1])]
    every = math.ceil(len(edges) / MAX_TICKS)
    ticks = (
        Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
            LEFT + place * step, floor + 14, "∞" if math.isinf(edge) else f"{edge:.3g}"
        )
        for place, edge in list(enumerate(edges))[::every]
    )
    title = Markup(
        '<text x="{:.1f}" y="{}" text-anchor="middle">activation of a sample (share of samples)</text>'
    ).format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4)
    return Markup("").join(ticks) + title


def _threshold(found: Histogram, delta: float, step: float, floor: float) -> Markup:
    inside = [bar for bar in range(len(found.lower)) if found.lower[bar] <= delta < found.upper[bar]]
    if delta <= 0 or not inside:
        return Markup("")
    low, high = float(found.lower[inside[0]]), float(found.upper[inside[0]])
    part = 0.5 if low <= 0 or math.isinf(high) else math.log(delta / low) / math.log(high / low)
    x = LEFT + (inside[0] + part) * step
    return Markup(
        '<line class="delta" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{:.1f}"/>'
        '<text x="{:.1f}" y="{}" text-anchor="middle">δ {}</text>'
    ).format(x, x, TOP, floor, x, TOP - 4, f"{delta:.4g}")
