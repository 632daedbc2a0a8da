const W = 760, LEFT = 118, RIGHT = 690, ROW = 44, TOP = 34;
function render({ model, el }) {
  const parts = model.get("parts"), models = model.get("models");
  el.innerHTML = `
    <div>
      <div class="row">
        <label>model <select aria-label="model">${models.map((name) => `<option>${name}</option>`).join("")}</select></label>
        <label>batch size <b class="samples" style="display:inline-block;width:1.6em"></b>
          <input type="range" min="0" max="6" step="1" style="width:104px" data-name="samples" aria-label="batch size"></label>
        <label>rank <b class="rank" style="display:inline-block;width:2em"></b>
          <input type="range" min="0" max="7" step="1" style="width:104px" data-name="rank" aria-label="rank of the adapters"></label>
        <label><input type="checkbox" aria-label="gradient checkpointing"> compute activations twice</label>
      </div>
      <div class="row" style="gap:2px 14px;margin-top:8px">${Object.entries(parts).map(([name, color]) =>
        `<span><span style="display:inline-block;width:11px;height:11px;background:${color};border-radius:2px"></span> ${name}</span>`).join("")}</div>
      <svg viewBox="0 0 ${W} ${TOP + 4 * ROW + 30}" style="margin-top:6px" font-size="13"
           role="img" aria-label="Stacked bars, one for each way to train. Point at a part to read it."></svg>
      <p style="min-height:4.2em" class="story" aria-live="polite"></p>
    </div>`;
  const find = (name) => el.querySelector(name), svg = find("svg"), select = find("select"), box = find("input[type=checkbox]");
  const sliders = [...el.querySelectorAll("input[type=range]")];
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  let pointed = null;
  const tell = () => {
    const s = model.get("state"), way = s.bars.find((b) => b.mode === (pointed?.mode ?? "qlora"));
    if (pointed?.part) {
      const amount = way.parts[pointed.part];
      find(".story").innerHTML = `<b>${way.name}</b>, ${pointed.part}: <b>${amount.toFixed(2)} ${s.unit}</b>, ${Math.round(100 * amount / way.total)} % of ${way.total.toFixed(1)} ${s.unit}`;
    } else find(".story").innerHTML = s.bars.map((b) => `${b.name} <b>${b.total.toFixed(1)} ${s.unit}</b>${b.card ? ` (${b.card})` : ""}`).join(" · ")
      + (s.unit === "GB" ? "<br><small>What lives through a step. Scratch space of kernels, fragments and the CUDA context come on top: some GB more.</small>" : "");
  };
  const draw = () => {
    const s = model.get("state"), x = (amount) => LEFT + amount / s.limit * (RIGHT - LEFT), bottom = TOP + 4 * ROW;
    select.value = model.get("model"); box.checked = model.get("checkpointing");
    for (const slider of sliders) { slider.value = Math.log2(model.get(slider.dataset.name)); find("." + slider.dataset.name).textContent = model.get(slider.dataset.name); }
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => `<line x1="${x(share * s.limit)}" x2="${x(share * s.limit)}" y1="${TOP - 4}" y2="${bottom}" stroke="var(--line)"/>
      <text x="${x(share * s.limit)}" y="${bottom + 18}" text-anchor="middle" fill="var(--quiet)">${share * s.limit}${share === 1 ? " " + s.unit : ""}</text>`).join("");
    const cards = s.cards.filter((c) => c <= s.limit).map((c) => `<line x1="${x(c)}" x2="${x(c)}" y1="${TOP - 8}" y2="${bottom}" stroke="var(--ink)" stroke-width=".8" stroke-dasharray="4 4" pointer-events="none"/>
      <text x="${x(c)}" y="${TOP - 13}" text-anchor="middle" font-size="11.5">${c}</text>`).join("");
    const totals = s.bars.map((b, row) => `<text x="${x(b.total) + 6}" y="${TOP + row * ROW + 27}" font-weight="700"
      stroke="var(--panel)" stroke-width="5" stroke-linejoin="round" paint-order="stroke">${b.total.toFixed(1)}</text>`).join("");
    svg.innerHTML = ticks + s.bars.map((b, row) => {
      let begin = 0;
      const y = TOP + row * ROW + 7;
      return `<text x="${LEFT - 8}" y="${y + 20}" text-anchor="end">${b.name}</text>` + Object.entries(b.parts).map(([part, amount]) => {
        const from = x(begin), wide = Math.max(0, x(begin + amount) - from);
        begin += amount;
        return `<rect x="${from}" width="${wide}" y="${y}" height="30" fill="${parts[part]}" data-mode="${b.mode}" data-part="${part}"/>`;
      }).join("");
    }).join("") + cards + totals + (s.cards.length ? `<text x="${LEFT - 8}" y="${TOP - 13}" text-anchor="end" font-size="11.5" fill="var(--quiet)">cards, GB</text>` : "");
    tell();
  };
  const point = (event) => { const d = event.target.dataset ?? {}; pointed = d.part ? { mode: d.mode, part: d.part } : null; tell(); };
  svg.addEventListener("pointermove", point); svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => { pointed = null; tell(); });
  for (const slider of sliders) { slider.addEventListener("input", () => set(slider.dataset.name, 2 ** Number(slider.value))); }
  select.addEventListener("change", () => set("model", select.value));
  box.addEventListener("change", () => set("checkpointing", box.checked));
  model.on("change:state", draw);
  draw();
}
export default { render: framed(render) };
