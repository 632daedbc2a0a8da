// The keys typed in a widget are the widget's: as commands of JupyterLab, x would cut the cell. Keys with Ctrl, Meta or Alt keep
// their meaning (Ctrl+S saves), and Escape gives the keys back to the cell.
function keep(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  event.stopPropagation();
  if (event.key === "Escape") { const cell = document.activeElement.closest(".jp-Cell"); document.activeElement.blur(); cell?.focus(); }
}

function framed(render) {
  return (context) => {
    const { el } = context;
    el.classList.add("vla-widget");
    el.addEventListener("keydown", keep);
    boxes();
    return render(context);
  };
}

// The same for ipywidgets' controls in a box: no script of ours makes them, so the page listens for all of them, once. And the handle
// of a slider says what it moves and where it stands: ipywidgets gives it no name, and the number of a choice in place of the choice.
function boxes() {
  if (document.body.dataset.vlaBoxes) return;
  document.body.dataset.vlaBoxes = "kept";
  const boxed = (event) => event.target.closest?.(".vla-box");
  const name = (event) => {
    const slider = boxed(event) && event.target.closest(".noUi-handle")?.closest(".widget-inline-hbox");
    if (!slider) return;
    event.target.setAttribute("aria-label", slider.querySelector(".widget-label")?.textContent ?? "");
    event.target.setAttribute("aria-valuetext", slider.querySelector(".widget-readout")?.textContent ?? "");
  };
  document.body.addEventListener("keydown", (event) => { if (boxed(event)) keep(event); });
  document.body.addEventListener("focusin", name);
  document.body.addEventListener("keyup", name);
}

// What is dragged in a drawing moves by the arrow keys too: `move(right, up)` is told how many steps, ten at once with Shift.
function movedByArrows(handle, move) {
  const ways = { ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowLeft: [-1, 0], ArrowDown: [0, -1] };
  handle.addEventListener("keydown", (event) => {
    if (!ways[event.key]) return;
    event.preventDefault();
    move(...ways[event.key].map((steps) => steps * (event.shiftKey ? 10 : 1)));
  });
}
