function render({ model, el }) {
  el.innerHTML = `<img alt="${model.get("description")}" style="display:block;width:100%;border-radius:6px">`;
  const image = el.querySelector("img");
  let url = null;
  const show = () => {
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([model.get("jpeg")], { type: "image/jpeg" }));
    image.src = url;
  };
  model.on("change:jpeg", show);
  show();
  return () => URL.revokeObjectURL(url);
}
export default { render: framed(render) };
