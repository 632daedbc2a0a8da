const W = 760, LEFT = 40, RIGHT = 720, LIMIT = 1.2, REACH = 120;
const x1 = (a) => LEFT + (a + LIMIT) / (2 * LIMIT) * (RIGHT - LEFT);
const a1 = (x) => (x - LEFT) / (RIGHT - LEFT) * 2 * LIMIT - LIMIT;
const x2 = (mm) => LEFT + (Math.max(-REACH, Math.min(REACH, mm)) + REACH) / (2 * REACH) * (RIGHT - LEFT);
const mm2 = (x) => (x - LEFT) / (RIGHT - LEFT) * 2 * REACH - REACH;
function render({ model, el }) {
  const ticks = [...Array(256).keys()].map((i) => `M${x1(-1 + 2 * i / 255)},${i % 15 ? 66 : 60}V72`).join("");
  const scale = (values, x, y) => values.map((v) => `<text x="${x(v)}" y="${y}" text-anchor="middle">${v}</text>`).join("");
  el.innerHTML = `
    <div>
      <div class="row">
        <label style="flex:1;min-width:280px">number <b class="number"></b>
          <input type="range" min="-1.2" max="1.2" step="0.001" style="width:100%" aria-label="number"></label>
        <label>q01 and q99 of <select aria-label="data set"></select></label>
      </div>
      <svg viewBox="0 0 ${W} 330" style="margin-top:6px;touch-action:none" font-size="12"
           role="group" aria-label="Two number lines. Drag the orange number above, the blue quantiles below, or move those with the arrow keys.">
        <text x="${LEFT}" y="22" fill="var(--quiet)">256 edges make 255 bins; drag the orange dot</text>
        <path d="${ticks}" stroke="var(--mark)" stroke-width=".7"/>
        <line x1="${x1(-1)}" x2="${x1(1)}" y1="72" y2="72" stroke="var(--ink)" stroke-width="1.5"/>
        <path class="fan" fill="var(--sky)" fill-opacity=".2" stroke="var(--sky)" stroke-width=".6"/>
        ${scale([-1, -0.5, 0, 0.5, 1], x1, 90)}
        <g class="lens"></g>
        <path class="needle" stroke="var(--orange)" stroke-width="1.5"/><circle class="knob" r="8" cy="48" fill="var(--orange)" style="cursor:grab"/>
        <rect class="range" y="262" height="16" fill="var(--blue)" fill-opacity=".15"/>
        <line x1="${LEFT}" x2="${RIGHT}" y1="270" y2="270" stroke="var(--ink)" stroke-width="1.5"/>
        ${scale([-120, -80, -40, 0, 40, 80, 120], x2, 318)}<text x="${W - 4}" y="318" text-anchor="end">mm</text>
        <path class="carry" stroke="var(--green)" stroke-width="1.5" stroke-dasharray="4 3" fill="none"/>
        ${["q01", "q99"].map((name) => `<g class="${name}" data-name="${name}" style="cursor:ew-resize" fill="var(--blue)">
          <rect x="-12" y="256" width="24" height="44" fill="transparent"/>
          <path d="M0,278l-9,16h18Z" tabindex="0" role="slider" aria-label="${name} in millimetres" aria-valuemin="${-REACH}" aria-valuemax="${REACH}"/>
          <text x="${name === "q01" ? -4 : 4}" y="254" text-anchor="${name === "q01" ? "end" : "start"}"></text></g>`).join("")}
        <circle class="arrive" r="6" cy="270" fill="var(--green)" pointer-events="none"/>
      </svg>
      <p class="story" aria-live="polite"></p>
    </div>`;
  const find = (name) => el.querySelector(name), svg = find("svg"), slider = find("input"), select = find("select");
  const ranges = model.get("ranges");
  select.innerHTML = [...Object.keys(ranges), "your own"].map((name) => `<option>${name}</option>`).join("");
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const draw = () => {
    const s = model.get("state"), n = s.number, [low, high] = s.quantiles, cut = Math.max(-1, Math.min(1, n));
    slider.value = n; find(".number").textContent = n.toFixed(3);
    select.value = Object.keys(ranges).find((name) => ranges[name].every((q, i) => Math.abs(q - s.quantiles[i]) < 0.05)) ?? "your own";
    find(".knob").setAttribute("cx", x1(n)); find(".needle").setAttribute("d", `M${x1(n)},48V72`);
    const first = s.around[0].left, last = s.around[s.around.length - 1].right;
    const wide = (a) => LEFT + (a - first) / (last - first) * (RIGHT - LEFT);
    find(".fan").setAttribute("d", `M${x1(first)},72L${LEFT},112H${RIGHT}L${x1(last)},72Z`);
    find(".lens").innerHTML = s.around.map((b) => {
      const mine = b.bin === s.bin, middle = (wide(b.left) + wide(b.right)) / 2;
      return `<rect x="${wide(b.left)}" width="${wide(b.right) - wide(b.left)}" y="112" height="58" fill="${mine ? "var(--orange)" : "var(--paper)"}" fill-opacity="${mine ? 0.25 : 1}" stroke="var(--mark)"/>
        <circle cx="${middle}" cy="158" r="3.5" fill="${mine ? "var(--green)" : "var(--mark)"}"/>
        <text x="${middle}" y="128" text-anchor="middle" font-size="11" fill="var(--quiet)">bin ${b.bin}</text>
        <text x="${middle}" y="146" text-anchor="middle" font-weight="${mine ? 700 : 400}">${mine ? s.id : b.id}</text>`;
    }).join("") + `<line x1="${wide(cut)}" x2="${wide(cut)}" y1="112" y2="170" stroke="var(--orange)" stroke-width="2"/>
      <text x="${LEFT}" y="188" fill="var(--quiet)">the bin's token id, and its centre (dot)</text>`;
    find(".range").setAttribute("x", x2(low)); find(".range").setAttribute("width", Math.max(0, x2(high) - x2(low)));
    find(".arrive").setAttribute("cx", x2(s.mm));
    const b = s.around.find((b) => b.bin === s.bin), start = (wide(b.left) + wide(b.right)) / 2;
    find(".carry").setAttribute("d", `M${start},170C${start},225 ${x2(s.mm)},205 ${x2(s.mm)},262`);
    for (const [name, q] of [["q01", low], ["q99", high]]) {
      find(`.${name}`).setAttribute("transform", `translate(${x2(q)} 0)`); find(`.${name} text`).textContent = `${name} ${q.toFixed(1)}`;
      find(`.${name} path`).setAttribute("aria-valuenow", q.toFixed(1));
    }
    find(".story").innerHTML = `${n.toFixed(3)} → ${n === cut ? "" : `cut to ${cut} → `}bin ${s.bin} → token <b>${s.id}</b>
      → centre ${s.decoded.toFixed(4)} → <b>${s.mm.toFixed(2)} mm</b><br>
      <small>without tokens: ${s.exact_mm.toFixed(2)} mm; half a bin is ${s.half_bin_mm.toFixed(2)} mm</small>`;
  };
  const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const pull = (name, mm) => {
    const [low, high] = model.get("quantiles"), end = Math.max(-REACH, Math.min(REACH, mm));
    set("quantiles", name === "q01" ? [Math.min(end, high - 1), high] : [low, Math.max(end, low + 1)]);
  };
  ["q01", "q99"].forEach((name, i) => movedByArrows(find(`.${name} path`), (right, up) => pull(name, model.get("quantiles")[i] + 0.5 * (right + up))));
  let holding = null;
  const move = (event) => {
    if (!holding) return;
    const p = place(event);
    if (holding === "number") set("number", Math.max(-LIMIT, Math.min(LIMIT, Math.round(1000 * a1(p.x)) / 1000)));
    else pull(holding, mm2(p.x));
  };
  svg.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest("[data-name]");
    holding = handle ? handle.dataset.name : place(event).y < 105 ? "number" : null;
    if (holding) { svg.setPointerCapture(event.pointerId); move(event); }
  });
  svg.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { holding = null; });
  slider.addEventListener("input", () => set("number", Number(slider.value)));
  select.addEventListener("change", () => { if (ranges[select.value]) set("quantiles", ranges[select.value]); });
  model.on("change:state", draw);
  draw();
}
export default { render: framed(render) };
