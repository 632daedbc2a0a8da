function render({ model, el }) {
  el.innerHTML = `
    <div class="row" style="align-items:flex-start">
      <img alt="the robot in the chosen pose" style="flex:3 1 330px;min-width:0;max-width:480px;border-radius:6px">
      <div style="flex:2 1 290px">
        <select aria-label="part of the robot"></select> <button>home</button>
        <div class="sliders" style="margin-top:8px"></div>
      </div>
    </div>`;
  const joints = model.get("joints"), parts = [...new Set(joints.map((j) => j.part))];
  const select = el.querySelector("select"), box = el.querySelector(".sliders"), image = el.querySelector("img");
  select.innerHTML = parts.map((p) => `<option>${p}</option>`).join("");
  let waiting = false, queued = null;
  const send = (angles) => {
    if (waiting) { queued = angles; return; }
    if (angles.every((a, i) => a === model.get("angles")[i])) return;
    waiting = true; model.set("angles", angles); model.save_changes();
  };
  const show = () => {
    const data = model.get("jpeg");
    image.src = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
    waiting = false;
    if (queued) { const next = queued; queued = null; send(next); }
  };
  const fill = () => {
    box.innerHTML = "";
    joints.forEach((joint, i) => {
      if (joint.part !== select.value) return;
      const row = document.createElement("label"), angle = (queued ?? model.get("angles"))[i];
      row.style.cssText = "display:grid;grid-template-columns:7.5em 1fr 3.5em;gap:6px;align-items:center";
      row.innerHTML = `<code>${joint.name}</code><input type="range" aria-label="${joint.name}" min="${joint.low}" max="${joint.high}" step="0.01" value="${angle}">
        <output>${angle.toFixed(2)}</output>`;
      row.querySelector("input").addEventListener("input", (event) => {
        const angles = [...(queued ?? model.get("angles"))];
        angles[i] = Number(event.target.value);
        row.querySelector("output").textContent = angles[i].toFixed(2);
        send(angles);
      });
      box.append(row);
    });
  };
  select.value = model.get("part");
  select.addEventListener("change", () => { model.set("part", select.value); model.save_changes(); fill(); });
  el.querySelector("button").addEventListener("click", () => { queued = null; waiting = false; send([...model.get("home")]); fill(); });
  model.on("change:drawn", show);
  fill(); show();
}
export default { render: framed(render) };
