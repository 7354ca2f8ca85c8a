// Comparisons of two pictures: an input laid over them says where the divider is. Keys, pointer and touch are its own.
(() => {
  "use strict"

  function begin() {
    const seen = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        // Pixels of small pictures stay sharp; large ones are reduced smoothly.
        const pixels = contentRect.width * (window.devicePixelRatio || 1)
        target.parentElement.classList.toggle("enlarged", pixels > target.querySelector("img").getAttribute("width"))
      }
    })
    for (const stage of document.querySelectorAll(".compare > .stage")) {
      const range = stage.querySelector("input[type=range]")
      const move = () => {
        stage.style.setProperty("--cut", `${range.value}%`)
        range.setAttribute("aria-valuetext", `original on the left ${Math.round(range.value)} %`)
      }
      range.addEventListener("input", move)
      // Who chooses one of the pictures while all are shown wants to see that one.
      const all = stage.parentElement.querySelector("input.all")
      for (const choice of stage.parentElement.querySelectorAll("input[type=radio]")) {
        choice.addEventListener("click", () => { all.checked = false })
      }
      move()
      stage.classList.add("live")
      for (const sight of stage.querySelectorAll(".sight")) seen.observe(sight)
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin)
  else begin()
})()
