function render({ model, el }) {
  const grid = model.get("grid"), names = model.get("names"), units = model.get("units"), SIDE = 252, W = 300, H = 36;
  el.innerHTML = `
    <div class="row" style="align-items:flex-start">
      <div style="width:${SIDE}px">
        <div class="board" role="group" aria-label="The picture's patches. The arrow keys lead from one to the next; press one to erase it or bring it back."
             style="position:relative;width:${SIDE}px;height:${SIDE}px;touch-action:none;user-select:none">
          <img alt="what the model sees" draggable="false" style="width:100%;height:100%;image-rendering:pixelated;border-radius:4px">
          <div class="patches" style="position:absolute;inset:0;display:grid;grid-template-columns:repeat(${grid},1fr)"></div>
        </div>
        <p><button class="none">bring all back</button> <button class="all">erase all</button>
          <button class="swap">turn round</button></p>
        <p class="says" role="status"></p>
      </div>
      <div style="flex:1 1 330px"><svg viewBox="0 0 ${W + 130} ${names.length * (H + 14) + 20}" font-size="11"
        role="img" aria-label="For each action dimension the probability of its 255 bins, before in grey and now in blue."></svg></div>
    </div>`;
  const find = (name) => el.querySelector(name), board = find(".patches");
  let busy = false, queued = null, painting = null;
  let mine = [...model.get("erased")];
  const walk = (...place) => {  // one patch alone is on the way of the Tab key
    const [column, row] = place.map((at) => Math.max(0, Math.min(grid - 1, at)));
    board.querySelector("[tabindex='0']").tabIndex = -1;
    board.children[row * grid + column].tabIndex = 0; board.children[row * grid + column].focus();
  };
  for (let i = 0; i < grid * grid; i++) {
    const button = document.createElement("button");
    button.setAttribute("aria-label", `patch in row ${Math.floor(i / grid) + 1}, column ${i % grid + 1}`);
    button.dataset.patch = i;
    button.tabIndex = i ? -1 : 0;
    button.style.cssText = "background:none;border:1px solid var(--grid);border-radius:0;padding:0;margin:0;cursor:pointer;min-width:0;min-height:0";
    button.addEventListener("click", (event) => { if (event.detail === 0) { mine[i] = !mine[i]; send(); } });
    movedByArrows(button, (right, up) => walk(i % grid + right, Math.floor(i / grid) - up));
    board.append(button);
  }
  const mark = () => board.querySelectorAll("button").forEach((button, i) => {
    button.setAttribute("aria-pressed", mine[i]); button.style.background = mine[i] ? "var(--erased)" : "none";
  });
  const send = () => {
    mark();
    if (busy) { queued = true; return; }
    busy = true; model.set("erased", [...mine]); model.set("asked", model.get("asked") + 1); model.save_changes();
  };
  const paint = (event) => {
    const patch = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-patch]")?.dataset.patch;
    if (painting === null || patch === undefined || mine[patch] === painting) return;
    mine[patch] = painting; send();
  };
  board.addEventListener("pointerdown", (event) => {
    const patch = event.target.dataset.patch;
    if (patch === undefined) return;
    event.target.releasePointerCapture?.(event.pointerId);
    painting = !mine[patch]; paint(event);
  });
  board.addEventListener("pointermove", paint);
  const stop = () => { painting = null; };
  for (const end of ["pointerup", "pointerleave", "pointercancel"]) board.addEventListener(end, stop);
  const all = (value) => { mine = mine.map((now) => value ?? !now); send(); };
  find(".none").addEventListener("click", () => all(false));
  find(".all").addEventListener("click", () => all(true));
  find(".swap").addEventListener("click", () => all(null));
  const curve = (p, top) => {
    const most = Math.max(...p, 1e-9), x = (i) => 44 + i / (p.length - 1) * W;
    return `M${x(0)},${top + H}` + p.map((q, i) => `L${x(i).toFixed(1)},${(top + H * (1 - q / most)).toFixed(1)}`).join("") + `L${x(p.length - 1)},${top + H}Z`;
  };
  const draw = () => {
    const s = model.get("state");
    find("svg").innerHTML = names.map((name, d) => {
      const top = d * (H + 14) + 6;
      return `<text x="38" y="${top + H / 2 + 4}" text-anchor="end">${name}</text>
        <path d="${curve(s.before[d], top)}" fill="var(--line)"/><path d="${curve(s.now[d], top)}" fill="var(--blue)" fill-opacity=".33" stroke="var(--blue)" stroke-width="1"/>
        <line x1="44" x2="${44 + W}" y1="${top + H}" y2="${top + H}" stroke="var(--mark)"/>
        <text x="${52 + W}" y="${top + H / 2 - 2}" fill="var(--quiet)">${s.action_before[d].toFixed(1)} ${units[d]}</text>
        <text x="${52 + W}" y="${top + H / 2 + 12}" fill="var(--blue)" font-weight="600">${s.action[d].toFixed(1)} ${units[d]}</text>`;
    }).join("") + `<text x="44" y="${names.length * (H + 14) + 16}" fill="var(--quiet)">lowest bin</text>
      <text x="${44 + W}" y="${names.length * (H + 14) + 16}" text-anchor="end" fill="var(--quiet)">highest bin</text>`;
    const changed = s.changed.length, erased = s.erased;
    find(".says").textContent = erased === 0 ? "Nothing is erased. Press patches, or draw over them."
      : `${erased} of ${grid * grid} patches erased: ${changed ? `${changed} of ${names.length} numbers changed (${s.changed.map((d) => names[d]).join(", ")})` : "no number changed"}.`;
  };
  const settle = () => { draw(); busy = false; if (queued) { queued = null; send(); } };
  find("img").src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
  model.on("change:state", settle);
  mark(); draw();
}
export default { render: framed(render) };
