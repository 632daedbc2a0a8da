const W = 760, LEFT = 196, RIGHT = 730, BLUE = "var(--blue)", ORANGE = "var(--orange)", GREEN = "var(--green)", GREY = "var(--quiet)";
function render({ model, el }) {
  const slider = (name, words, max, step) => `<label style="flex:1;min-width:140px">${words} <b class="${name}"></b><br>
    <input type="range" min="0" max="${max}" step="${step}" data-name="${name}" aria-label="${words}" style="width:100%"></label>`;
  const last = model.get("choices").length - 1;
  el.innerHTML = `
    <div>
      <div class="row" style="align-items:flex-end">
        ${slider("episodes", "episodes of each", last, 1)}${slider("first", "before", 100, 1)}
        ${slider("second", "after", 100, 1)}${slider("alike", "agree on hard starts", 100, 10)}
      </div>
      <svg viewBox="0 0 ${W} 440" style="margin-top:6px" font-size="13"
           role="img" aria-label="Two rates with their intervals, and the gain with two intervals. The words are below."></svg>
      <p style="min-height:4.2em" class="story" aria-live="polite"></p>
    </div>`;
  const find = (name) => el.querySelector(name), svg = find("svg");
  const sliders = [...el.querySelectorAll("input")], choices = model.get("choices");
  const points = (v) => (v < -0.0005 ? "−" : v > 0.0005 ? "+" : "") + Math.abs(Math.round(100 * v));
  const draw = () => {
    const s = model.get("state");
    for (const one of sliders) {
      const name = one.dataset.name, value = model.get(name);
      one.value = name === "episodes" ? choices.indexOf(value) : value;
      find("b." + name).textContent = { episodes: s.episodes, first: `${s.successes[0]} of ${s.episodes}`,
        second: `${s.successes[1]} of ${s.episodes}`, alike: value === 0 ? "by chance" : value === 100 ? "fully" : value + " %" }[name];
    }
    const x = (v) => LEFT + v * (RIGHT - LEFT), d = (v) => x(0.5 + 0.5 * v);
    const bar = (y, at, [low, high], middle, color) => `<line x1="${at(low)}" x2="${at(high)}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="7" opacity=".35"/>
      <path d="M${at(low)} ${y - 7}v14M${at(high)} ${y - 7}v14" stroke="${color}" stroke-width="2"/><circle cx="${at(middle)}" cy="${y}" r="5.5" fill="${color}"/>`;
    const label = (y, words) => `<text x="${LEFT - 12}" y="${y + 5}" text-anchor="end">${words}</text>`;
    const axis = (y, top, at, ticks, words) => ticks.map((t) => `<line x1="${at(t)}" x2="${at(t)}" y1="${top}" y2="${y}" stroke="${t === 0 && words ? "var(--ink)" : "var(--line)"}"/>
      <text x="${at(t)}" y="${y + 16}" text-anchor="middle" fill="var(--quiet)" font-size="12">${words ? points(t) : Math.round(100 * t) + " %"}</text>`).join("");
    const n = s.episodes, wide = (RIGHT - LEFT) / n, counts = [s.both, s.lost, s.won, s.neither];
    const fills = ["var(--mark)", BLUE, ORANGE, "var(--track)"];
    let begin = 0;
    const curve = (s) => {
      const top = 326, bottom = 412, most = 0.6, at = (m) => LEFT + (Math.log10(m) - 1) / 2.3 * (RIGHT - LEFT);
      const y = (v) => bottom - Math.min(v, most) / most * (bottom - top);
      const gap = Math.abs(s.gain), mark = s.needed !== null && s.needed <= 2000 && s.needed >= 10;
      return `<text x="${LEFT}" y="${top - 6}" fill="var(--quiet)" font-size="12">more episodes: half the width of the gain's interval, in points, from other starts</text>`
        + [0, 0.2, 0.4, 0.6].map((v) => `<line x1="${LEFT}" x2="${RIGHT}" y1="${y(v)}" y2="${y(v)}" stroke="var(--line)"/><text x="${LEFT - 8}" y="${y(v) + 4}" text-anchor="end" fill="var(--quiet)" font-size="12">${100 * v}</text>`).join("")
        + [10, 20, 50, 100, 200, 500, 1000, 2000].map((m) => `<text x="${at(m)}" y="${bottom + 17}" text-anchor="middle" fill="var(--quiet)" font-size="12">${m}</text>`).join("")
        + `<line x1="${LEFT}" x2="${RIGHT}" y1="${y(gap)}" y2="${y(gap)}" stroke="var(--ink)" stroke-dasharray="5 4"/><text x="${RIGHT}" y="${y(gap) - 4}" text-anchor="end" font-size="12">the gain: ${points(gap)}</text>
           <polyline fill="none" stroke="${GREY}" stroke-width="2.5" points="${s.widths.map(([m, v]) => `${at(m)},${y(v)}`).join(" ")}"/>
           <circle cx="${at(s.episodes)}" cy="${y((s.unpaired[1] - s.unpaired[0]) / 2)}" r="5.5" fill="${GREY}"/>`
        + (mark ? `<line x1="${at(s.needed)}" x2="${at(s.needed)}" y1="${top}" y2="${bottom}" stroke="${GREEN}" stroke-width="2"/>
           <text x="${at(s.needed) + 5}" y="${top + 11}" font-size="12">needed: ${s.needed}</text>` : "");
    };
    const starts = counts.map((count, k) => {
      const from = begin; begin += count;
      const cells = n > 120 ? (count ? `<rect x="${LEFT + from * wide}" y="22" width="${count * wide}" height="18" fill="${fills[k]}"/>` : "")
        : Array.from({ length: count }, (_, i) => `<rect x="${LEFT + (from + i) * wide + 0.5}" y="22" width="${Math.max(1, wide - 1)}" height="18" fill="${fills[k]}"/>`).join("");
      return cells;
    }).join("");
    const names = ["both", "only before", "only after", "neither"];
    let place = LEFT;
    const legend = names.map((name, k) => { const at = place; place += 130;
      return `<rect x="${at}" y="50" width="10" height="10" fill="${fills[k]}"/><text x="${at + 15}" y="59" font-size="12" fill="var(--quiet)">${name}: ${counts[k]}</text>`; }).join("");
    svg.innerHTML = label(31, `the same ${n} starts`) + starts + legend
      + axis(146, 78, x, [0, 0.2, 0.4, 0.6, 0.8, 1], false) + label(96, "before") + bar(96, x, s.rates[0], s.successes[0] / n, BLUE)
      + label(126, "after") + bar(126, x, s.rates[1], s.successes[1] / n, ORANGE)
      + axis(280, 190, d, [-1, -0.5, 0, 0.5, 1], true) + `<text x="${LEFT}" y="184" fill="var(--quiet)" font-size="12">the gain, in points</text>`
      + label(212, "from other starts") + bar(212, d, s.unpaired, s.gain, GREY)
      + label(250, "from the same starts") + bar(250, d, s.paired, s.gain, GREEN) + curve(s);
    const sure = ([low, high]) => low > 0 || high < 0 ? "<b>beyond chance</b>" : "<b>may be chance</b>";
    const range = ([low, high]) => `${points(low)} to ${points(high)}`;
    find(".story").innerHTML = `A gain of <b>${points(s.gain)}</b> points. From other starts: ${range(s.unpaired)}, ${sure(s.unpaired)}.
      From the same starts: ${range(s.paired)}, ${sure(s.paired)}; only the ${s.won + s.lost} starts that differ count.<br>
      ${s.needed === null ? "Equal rates: no number of episodes tells them apart."
        : `To see such a difference in four of five experiments, from other starts: <b>${s.needed.toLocaleString("en-US")}</b> episodes of each.`}`;
  };
  for (const one of sliders) {
    one.addEventListener("input", () => {
      const value = Number(one.value);
      model.set(one.dataset.name, one.dataset.name === "episodes" ? choices[value] : value); model.save_changes();
    });
  }
  model.on("change:state", draw);
  draw();
}
export default { render: framed(render) };
