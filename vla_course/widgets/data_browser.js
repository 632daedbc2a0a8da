const W = 230, H = 36, ROW = 43, LEFT = 84, COLUMN = LEFT + W + 66;
function render({ model, el }) {
  const names = model.get("names"), units = model.get("units"), cuts = model.get("cuts"), columns = Math.max(1, names.length / 7 | 0);
  const rows = Math.ceil(names.length / columns);
  el.innerHTML = `
    <div>
      <div class="row" style="align-items:flex-start">
        <div class="seen" role="img" style="width:210px;height:210px;border-radius:6px;image-rendering:pixelated;background-color:var(--track)"></div>
        <div style="flex:1;min-width:280px">
          <p>“<span class="told"></span>”</p>
          <p>frame <b class="at"></b></p>
          <p class="story" aria-live="polite"></p>
        </div>
      </div>
      <svg viewBox="0 0 ${columns * COLUMN} ${rows * ROW + 22}" style="margin-top:6px;max-width:${columns * COLUMN}px;touch-action:none;user-select:none;cursor:ew-resize" font-size="11"
        tabindex="0" role="slider" aria-valuemin="1" aria-label="Every number of the action over the frames of this episode. Drag or press the arrow keys to move through the frames."></svg>
    </div>`;
  const find = (name) => el.querySelector(name), svg = find("svg");
  let url = null;
  const sheet = () => {
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    find(".seen").style.backgroundImage = `url(${url})`;
  };
  const line = (values, x, y) => values.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)},${y(v).toFixed(1)}`).join("");
  const draw = () => {
    const s = model.get("state"), last = s.length - 1, now = Math.min(model.get("frame"), last);
    svg.setAttribute("aria-valuemax", last + 1); svg.setAttribute("aria-valuenow", now + 1);
    find(".told").textContent = s.instruction;
    find(".at").textContent = `${now + 1} of ${last + 1}, ${(now / s.fps).toFixed(1)} s`;
    find(".seen").style.backgroundSize = `${100 * s.length}% 100%`;
    find(".seen").style.backgroundPosition = `${last ? 100 * now / last : 0}% 0`;
    find(".seen").setAttribute("aria-label", `frame ${now + 1} of ${last + 1}`);
    find(".story").textContent = s.story;
    svg.innerHTML = s.traces.map((t, d) => {
      const left = Math.floor(d / rows) * COLUMN + LEFT, top = (d % rows) * ROW + 4;
      const x = (i) => left + i / Math.max(1, last) * W, y = (v) => top + H / 2 - v / t.reach * H / 2;
      const edge = (v) => Math.max(top, Math.min(top + H, y(v)));
      const band = t.band && cuts ? `<rect x="${left}" width="${W}" y="${edge(t.band[1])}" height="${edge(t.band[0]) - edge(t.band[1])}" fill="var(--sky)" fill-opacity=".3"/>` : "";
      const mine = t.yours ? t.yours.map((v) => `<line x1="${left}" x2="${left + W}" y1="${edge(v)}" y2="${edge(v)}" stroke="var(--green)" stroke-dasharray="3 3"/>`).join("") : "";
      return `<rect x="${left}" y="${top}" width="${W}" height="${H}" fill="var(--paper)"/>${band}${mine}
        <line x1="${left}" x2="${left + W}" y1="${y(0)}" y2="${y(0)}" stroke="var(--line)" stroke-width=".7"/>
        <path d="${line(t.raw, x, y)}" fill="none" stroke="var(--blue)" stroke-width="3" stroke-opacity=".6"/>
        ${t.decoded ? `<path d="${line(t.decoded, x, y)}" fill="none" stroke="var(--orange)" stroke-width="1.2"/>` : ""}
        <line x1="${x(now)}" x2="${x(now)}" y1="${top}" y2="${top + H}" stroke="var(--ink)" stroke-width=".8"/>
        <text x="${left - 4}" y="${top + H / 2 + 4}" text-anchor="end">${names[d]}</text>
        <text x="${left + W + 6}" y="${top + H / 2 + 4}">${(Number(t.raw[now].toFixed(units[d] ? 1 : 2)) + 0).toFixed(units[d] ? 1 : 2)} ${units[d]}</text>`;
    }).join("") + `<text x="${LEFT}" y="${rows * ROW + 14}" fill="var(--quiet)">blue: as recorded${cuts ? "; orange: what is left after cutting and tokens; band: the range that is left; green: your q01 and q99" : ""}</text>`;
  };
  const go = (value) => { model.set("frame", Math.max(0, Math.min(model.get("state").length - 1, value))); model.save_changes(); };
  movedByArrows(svg, (right, up) => go(model.get("frame") + right + up));
  const drag = (event) => {
    const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    go(Math.round(((p.x % COLUMN) - LEFT) / W * (model.get("state").length - 1)));
  };
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); drag(event); });
  svg.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  model.on("change:frame", draw); model.on("change:state", draw); model.on("change:png", sheet);
  sheet(); draw();
  return () => { if (url) URL.revokeObjectURL(url); };
}
export default { render: framed(render) };
