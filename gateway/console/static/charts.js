// Draws every .chart: data-points is [times, series, series…], times in unix seconds, gaps as null. uPlot does the drawing.
"use strict";

(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw(box) {
    const points = JSON.parse(box.dataset.points);
    if (!points.length || points[0].length < 2) return;
    const colours = [css("--accent"), css("--warn")];
    const series = points.slice(1).map((_, index) => ({
      stroke: colours[index % 2], width: 1.6, fill: index ? undefined : css("--soft"), points: { show: false }, spanGaps: true,
    }));
    const large = box.dataset.size === "large";
    const axis = { show: large, stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    box.replaceChildren();
    new uPlot({
      width: Math.max(120, box.clientWidth), height: large ? 220 : 44, padding: large ? [8, 8, 0, 0] : [3, 0, 3, 0],
      legend: { show: false }, cursor: { show: large }, select: { show: false }, axes: [axis, { ...axis, size: 56 }],
      scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } },
      series: [{}, ...series],
    }, points, box);
  }

  function all(root) {
    root.querySelectorAll(".chart[data-points]").forEach(draw);
  }

  document.addEventListener("filled", (event) => all(event.target));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(document));
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => all(document), 150);
  });
  all(document);
})();
