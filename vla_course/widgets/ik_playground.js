const BAR = 4;  // decades shown: 0.001 to 10 rad
function render({ model, el }) {
  el.innerHTML = `
    <div class="row" style="align-items:flex-start">
      <svg viewBox="-1.4 -1.25 2.8 2.1" style="flex:3 1 330px;touch-action:none;cursor:crosshair"
           role="group" aria-label="Arm from the side. Drag the orange target, or move it with the arrow keys.">
        <circle r="1.1843" fill="none" stroke="var(--line)" stroke-width=".006" stroke-dasharray=".03 .02"/>
        <line x1="-1.4" x2="1.4" y1=".1" y2=".1" stroke="var(--line)" stroke-width=".01"/>
        <polyline class="trail" fill="none" stroke="var(--sky)" stroke-width=".008"/>
        <ellipse class="ease" fill="var(--blue)" fill-opacity=".15" stroke="var(--blue)" stroke-width=".006"/>
        <polyline class="arm" fill="none" stroke="var(--quiet)" stroke-width=".07" stroke-linejoin="round" stroke-linecap="round"/>
        <g class="joints" fill="var(--track)" stroke="var(--quiet)" stroke-width=".012"></g>
        <circle class="target" r=".045" fill="var(--orange)" fill-opacity=".35" stroke="var(--orange)" stroke-width=".014" style="cursor:grab"
                tabindex="0" role="slider" aria-label="target" aria-valuemin="-1.4" aria-valuemax="1.4"/>
      </svg>
      <div style="flex:2 1 240px">
        <label>damping λ <b class="lambda"></b> m<br>
          <input type="range" min="0" max="40" step="1" style="width:100%" aria-label="damping"></label>
        <p>largest joint step <b class="step"></b> rad
          <span style="display:block;position:relative;height:14px;background:var(--track);border-radius:3px;overflow:hidden">
            <span class="bar" style="display:block;height:100%"></span>
            <span style="position:absolute;left:50%;top:0;bottom:0;border-left:2px solid var(--ink)" title="0.1 rad"></span></span>
          <small>0.001 … <b>|</b> 0.1 rad is all the robot can do in one control step … 10</small></p>
        <p>condition number of J <b class="condition"></b><br><small>how much harder the hardest direction is than the easiest</small></p>
        <p>distance to the target <b class="distance"></b> mm</p>
        <p><small>The blue ellipse is where the hand gets by turning the joints a little. It is flat where a direction is lost.</small></p>
      </div>
    </div>`;
  const find = (name) => el.querySelector(name), svg = find("svg"), slider = find("input");
  const damping = () => slider.value == 0 ? 0 : 0.001 * Math.pow(10, slider.value / 16);
  slider.value = model.get("damping") > 0 ? Math.round(16 * Math.log10(model.get("damping") / 0.001)) : 0;
  let patience = 0, busy = false, aim = model.get("target"), sent = aim;  // an echo of what was sent may not undo a later aim
  const draw = () => {
    const s = model.get("state"), flip = (p) => `${p[0]},${-p[1]}`;
    find(".arm").setAttribute("points", s.points.map(flip).join(" "));
    find(".trail").setAttribute("points", s.trail.map(flip).join(" "));
    find(".joints").innerHTML = s.points.map((p) => `<circle cx="${p[0]}" cy="${-p[1]}" r=".045"/>`).join("");
    const e = find(".ease"), hand = s.points[2];
    e.setAttribute("rx", 0.15 * s.ellipse[0]); e.setAttribute("ry", Math.max(0.004, 0.15 * s.ellipse[1]));
    e.setAttribute("transform", `translate(${hand[0]} ${-hand[1]}) rotate(${-s.ellipse[2]})`);
    const [out, up] = aim, place = { cx: out, cy: -up, "aria-valuenow": out.toFixed(2), "aria-valuetext": `${out.toFixed(2)} m out, ${up.toFixed(2)} m up` };
    Object.entries(place).forEach(([name, value]) => find(".target").setAttribute(name, value));
    const share = Math.min(1, Math.max(0.01, (Math.log10(s.step + 1e-9) + 3) / BAR));
    find(".bar").style.width = `${100 * share}%`;
    find(".bar").style.background = s.step > 0.1 ? "var(--orange)" : "var(--green)";
    find(".step").textContent = s.step < 100 ? s.step.toPrecision(2) : Math.round(s.step);
    find(".condition").textContent = s.condition > 1e6 ? "> 1 000 000" : s.condition.toPrecision(3);
    find(".distance").textContent = (1000 * s.distance).toFixed(s.distance < 0.01 ? 1 : 0);
    find(".lambda").textContent = model.get("damping").toPrecision(2);
  };
  const tick = () => {
    if (busy || patience <= 0) return;
    patience -= 1; busy = true; sent = aim;
    model.set("target", aim); model.set("tick", model.get("tick") + 1); model.save_changes();
  };
  const wake = () => { patience = 80; tick(); };
  model.on("change:state", () => { draw(); busy = false; if (aim !== sent || model.get("state").distance > 5e-4) setTimeout(tick, 50); });
  const within = (value, low, high) => Math.max(low, Math.min(high, value));
  const aimAt = (x, y) => { aim = [within(x, -1.4, 1.4), within(y, -0.85, 1.25)]; draw(); wake(); };
  const place = (event) => {
    const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    aimAt(p.x, -p.y);
  };
  movedByArrows(find(".target"), (right, up) => aimAt(aim[0] + 0.01 * right, aim[1] + 0.01 * up));
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); place(event); });
  svg.addEventListener("pointermove", (event) => { if (event.buttons) place(event); });
  slider.addEventListener("input", () => { model.set("damping", damping()); draw(); wake(); });
  draw();
}
export default { render: framed(render) };
