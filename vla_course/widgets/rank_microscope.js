const W = 784, H = 130, BASE = 106;
function render({ model, el }) {
  const frame = (name, words) => `<figure style="margin:0;flex:1;min-width:160px">
    <img class="${name}" alt="${words}" style="width:100%;aspect-ratio:1;image-rendering:pixelated;border:1px solid var(--line)">
    <figcaption><small>${words}</small></figcaption></figure>`;
  el.innerHTML = `
    <div>
      <div class="row">
        <label>a change of <select aria-label="change"></select></label>
        <label style="flex:1;min-width:240px">rank <b class="rank"></b>
          <input type="range" min="0" step="1" style="width:100%" aria-label="rank"></label>
      </div>
      <div style="display:flex;gap:12px;margin-top:8px">
        ${frame("whole", "the change")}${frame("pair", "B A, the best of this rank")}${frame("rest", "what is left over")}
      </div>
      <p><small class="where"></small></p>
      <svg viewBox="0 0 ${W} ${H}" style="margin-top:6px" font-size="12"
           role="img" aria-label="Singular values, largest first; those that the rank keeps are orange.">
        <g class="bars"></g><line x1="0" x2="${W}" y1="${BASE}" y2="${BASE}" stroke="var(--ink)"/>
        <text x="4" y="${H - 6}" class="axis" fill="var(--quiet)"></text>
      </svg>
      <p class="story" aria-live="polite"></p>
    </div>`;
  const find = (name) => el.querySelector(name), slider = find("input"), select = find("select");
  const ranks = model.get("ranks");
  select.innerHTML = model.get("names").map((name) => `<option>${name}</option>`).join("");
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const number = (value) => value.toLocaleString("en-US");
  const draw = () => {
    const s = model.get("state"), r = s.rank;
    slider.max = ranks.filter((one) => one <= s.full_rank).length - 1;
    slider.value = ranks.indexOf(r); find(".rank").textContent = r; select.value = s.name;
    for (const name of ["whole", "pair", "rest"]) find("." + name).src = "data:image/png;base64," + s[name];
    const step = W / s.values.length, top = s.values[0] || 1;
    find(".bars").innerHTML = s.values.map((v, i) => `<rect x="${i * step + 0.5}" width="${step - 1}" y="${BASE - 90 * v / top}"
      height="${90 * v / top}" fill="${i < r ? "var(--orange)" : "var(--mark)"}"/>`).join("");
    find(".where").textContent = (s.seen[0] < s.shape[0] || s.seen[1] < s.shape[1]
      ? `Shown: ${s.seen[0]} of ${s.shape[0]} outputs (down) and ${s.seen[1]} of ${s.shape[1]} inputs (across); the numbers below count all. ` : "")
      + "Blue adds, red takes away.";
    find(".axis").textContent = `the ${s.values.length} largest of ${s.full_rank} singular values: how strong the change is in each direction`;
    find(".story").innerHTML = `rank ${r} holds <b>${(100 * s.share).toFixed(1)} %</b> of the change, in <b>${number(s.numbers)}</b> numbers
      instead of ${number(s.whole_numbers)} (${(100 * s.numbers / s.whole_numbers).toFixed(0)} %)`;
  };
  slider.addEventListener("input", () => set("rank", ranks[Number(slider.value)]));
  select.addEventListener("change", () => set("change", select.value));
  model.on("change:state", draw);
  draw();
}
export default { render: framed(render) };
