function render({ model, el }) {
  const numbers = model.get("numbers");
  el.innerHTML = `
    <div>
      <form class="row">
        <label>table <select aria-label="table"></select></label>
        <input class="words" type="text" maxlength="128" aria-label="instruction" placeholder="tell it what to do"
          style="flex:1;min-width:260px;font-size:15px">
        <button type="submit" style="font-size:15px">say it</button>
      </form>
      <div class="ideas" style="margin:6px 0;display:flex;flex-wrap:wrap;gap:5px"></div>
      <div style="display:flex;flex-wrap:wrap;gap:6px 12px">
        <figure style="margin:0"><canvas class="room" style="width:304px;height:228px;border-radius:6px;background:var(--track)"></canvas>
          <figcaption><small>the room</small></figcaption></figure>
        <figure style="margin:0"><canvas class="seen" style="width:228px;height:228px;border-radius:6px;background:var(--track);image-rendering:pixelated"></canvas>
          <figcaption><small class="size"></small></figcaption></figure>
        <div class="bars" style="flex:1;min-width:240px;display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:2px 24px"></div>
      </div>
      <div class="row" style="margin-top:6px;flex-wrap:nowrap">
        <button class="play" disabled>play</button>
        <input class="moment" type="range" min="0" max="0" value="0" style="flex:1" aria-label="step" disabled>
        <span class="count" style="min-width:7em"></span>
      </div>
      <p class="outcome" role="status" style="min-height:1.4em"></p>
    </div>`;
  const find = (name) => el.querySelector(name);
  const words = find(".words"), table = find("select"), moment = find(".moment"), play = find(".play");
  table.innerHTML = model.get("tables").map((name, k) => `<option value="${k}">${name}</option>`).join("");
  find(".bars").innerHTML = numbers.map((n) => `
    <div style="display:grid;grid-template-columns:48px 1fr 52px;column-gap:6px;align-items:center;line-height:1.2">
      <b>${n[0]}</b>
      <span style="position:relative;height:12px;background:var(--track);border-radius:3px;display:block">
        <span class="bar" style="position:absolute;top:0;bottom:0;background:var(--blue)"></span>
        <span style="position:absolute;left:50%;top:-2px;bottom:-2px;border-left:1px solid var(--ink)"></span></span>
      <span class="value" style="text-align:right"></span>
      <small style="grid-column:2/4">${n[1]}</small>
    </div>`).join("");
  let films = {}, actions = [], timer = null, waiting = null;
  const picture = (bytes) => createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const paint = (name, k, height) => {
    const canvas = find("." + name), film = films[name];
    if (!film) return;
    canvas.width = film.width; canvas.height = height;
    canvas.getContext("2d").drawImage(film, 0, k * height, film.width, height, 0, 0, film.width, height);
  };
  const draw = () => {
    const k = Number(moment.value), heights = model.get("heights");
    paint("room", k, heights[0]); paint("seen", k, heights[1]);
    const action = k > 0 ? actions[k - 1] : null;
    el.querySelectorAll(".bar").forEach((bar, i) => {
      const value = action ? action[i] : 0;
      bar.style.left = `${50 + 50 * Math.min(0, value)}%`; bar.style.width = `${50 * Math.abs(value)}%`;
      const [, , unit, name] = numbers[i];
      el.querySelectorAll(".value")[i].textContent =
        !action ? "" : unit ? `${Math.round(unit * value) + 0} ${name}` : value.toFixed(2);
    });
    find(".count").textContent = actions.length ? (k ? `step ${k} of ${actions.length}` : "before the first") : "";
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "play"; };
  const start = () => {
    stop(); if (!actions.length) return;
    if (Number(moment.value) >= actions.length) moment.value = 0;
    play.textContent = "pause";
    timer = setInterval(() => {
      if (!el.isConnected || Number(moment.value) >= actions.length) return stop();
      moment.value = Number(moment.value) + 1; draw();
    }, 200);
  };
  const busy = (doing) => {
    clearInterval(waiting); waiting = null; stop();
    el.querySelectorAll("form button, .ideas button, select").forEach((control) => { control.disabled = !!doing; });
    el.querySelectorAll("canvas").forEach((canvas) => { canvas.style.opacity = doing ? 0.4 : 1; });
    if (!doing) return;
    moment.disabled = play.disabled = true;
    const began = Date.now(), tell = () => {
      find(".outcome").textContent = `${doing} … ${Math.round((Date.now() - began) / 1000)} s`;
    };
    tell(); waiting = setInterval(tell, 1000);
  };
  const ask = () => {
    if (!words.value.trim()) { find(".outcome").textContent = "Type an instruction first."; words.focus(); return; }
    busy("acting");
    model.set("words", words.value.trim()); model.set("asked", model.get("asked") + 1); model.save_changes();
  };
  const show = async () => {
    const rooms = model.get("room"), seen = model.get("seen");
    if (!rooms.byteLength) return;
    films = { room: await picture(rooms), seen: await picture(seen) };
    busy(null);
    actions = model.get("actions");
    moment.max = actions.length; moment.value = 0; moment.disabled = play.disabled = !actions.length;
    find(".size").textContent = `what the model sees: ${films.seen.width} × ${model.get("heights")[1]} pixels, facing the robot`;
    find(".outcome").textContent = model.get("outcome");
    draw(); if (actions.length) start(); else stop();
  };
  const ideas = () => {
    find(".ideas").innerHTML = "";
    model.get("ideas").forEach((idea) => {
      const button = document.createElement("button");
      button.type = "button"; button.textContent = idea; button.style.cssText = "font-size:12px";
      button.addEventListener("click", () => { words.value = idea; ask(); });
      find(".ideas").append(button);
    });
  };
  find("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  table.addEventListener("change", () => { words.value = ""; busy("laying the table"); model.set("table", Number(table.value)); model.save_changes(); });
  moment.addEventListener("input", () => { stop(); draw(); });
  play.addEventListener("click", () => timer ? stop() : start());
  model.on("change:answered", show);
  model.on("change:ideas", ideas);
  table.value = model.get("table"); words.value = model.get("words");
  ideas(); show();
  return () => { stop(); clearInterval(waiting); };
}
export default { render: framed(render) };
