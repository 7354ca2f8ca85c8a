// Maps of the page that can be looked at closely: ranges move by buttons, wheel and drag; finer layers and thumbnails
// appear closer up; the legend hides and shows groups. Models are found by the names that plane_map gives them.
(() => {
  "use strict"
  const CLOSER = 2.5          // from here on, layers of groups take the place of the overview, and thumbnails appear
  const FACTOR = 1.6          // of one press of a button
  const THUMBNAIL = [34, 64]  // longest side in CSS pixels, from where thumbnails appear to the closest
  const MOST = 400            // thumbnails at a time
  const DOTS = 1000           // of the whole map, so that they do not hide it; the closer, the more
  const sheets = new Map()

  // The sheet of a source: its picture once it is decoded, and addresses of thumbnails that were cut out of it.
  function sheetOf(source) {
    if (!sheets.has(source.id)) {
      const sheet = { ...source.tags[0], picture: new Image(), ready: false, cut: new Map() }
      sheets.set(source.id, sheet)
      sheet.picture.src = sheet.uri
      sheet.decoded = sheet.picture.decode().then(() => { sheet.ready = true }, () => {})
    }
    return sheets.get(source.id)
  }

  function thumbnail(source, sprite) {
    const sheet = sheetOf(source)
    if (!sheet.ready) return "data:,"
    if (!sheet.cut.has(sprite)) {
      const canvas = document.createElement("canvas")
      const { width, height, columns } = sheet
      canvas.width = width
      canvas.height = height
      const [left, top] = [(sprite % columns) * width, Math.floor(sprite / columns) * height]
      canvas.getContext("2d").drawImage(sheet.picture, left, top, width, height, 0, 0, width, height)
      sheet.cut.set(sprite, canvas.toDataURL())
    }
    return sheet.cut.get(sprite)
  }

  // Let a renderer show, and answer for, some of its rows only.
  function filter({ view, data_source }, choose) {
    view.filter = new view.filter.constructor({ booleans: choose(data_source.data) })
  }

  class ZoomableMap {
    constructor(figure, plot) {
      this.plot = plot
      this.canvas = figure.querySelector(".canvas")
      this.keys = [...figure.querySelectorAll(".legend button")]
      this.hidden = new Set()
      this.home = [plot.x_range, plot.y_range].map(({ start, end }) => [start, end])
      const named = new Map(plot.renderers.map((renderer) => [renderer.name, renderer]))
      this.overview = named.get("overview")
      this.layers = plot.renderers.filter(({ name }) => /^(apart|closer)-/.test(name ?? ""))
      this.points = named.get("points")
      this.images = named.get("images")
      this.frames = named.get("frames")
      this.names = named.get("names")
      this.drag = plot.toolbar.tools.find(({ type }) => type === "PanTool")
      this.wheel = plot.toolbar.tools.find(({ type }) => type === "WheelZoomTool")
      this.listen(figure)
      if (!this.points) return
      const source = this.points.data_source
      sheetOf(source).decoded.then(() => this.update())
      for (const { formatters } of plot.toolbar.tools.filter(({ type }) => type === "HoverTool")) {
        for (const one of formatters instanceof Map ? formatters.values() : Object.values(formatters)) {
          one.format = (sprite) => thumbnail(source, sprite)
        }
      }
    }

    listen(figure) {
      const moved = () => {
        if (this.waiting) return
        this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.update() })
      }
      for (const range of [this.plot.x_range, this.plot.y_range]) {
        for (const end of ["start", "end"]) range.properties[end].change.connect(moved)
      }
      this.plot.properties.inner_width?.change.connect(moved)
      this.keys.forEach((key, group) => key.addEventListener("click", () => this.toggle(key, group)))
      const buttons = figure.querySelector(".zoom")
      buttons.hidden = false
      buttons.addEventListener("click", ({ target }) => {
        const { zoom } = target.dataset
        if (zoom === "all") this.look(...this.home.flat())
        else if (zoom) this.scale(zoom === "in" ? 1 / FACTOR : FACTOR)
      })
      // Until somebody takes hold of the map, wheel and finger move the page.
      this.canvas.addEventListener("click", ({ target }) => { if (!buttons.contains(target)) this.hold(true) })
      document.addEventListener("pointerdown", ({ target }) => { if (!this.canvas.contains(target)) this.hold(false) })
      document.addEventListener("keydown", ({ key }) => { if (key === "Escape") this.hold(false) })
    }

    hold(held) {
      if (held === this.canvas.classList.contains("held")) return
      this.canvas.classList.toggle("held", held)
      const { toolbar } = this.plot
      this.drag.active = held
      this.wheel.active = held
      toolbar.active_drag = held ? this.drag : null
      toolbar.active_scroll = held ? this.wheel : null
    }

    look(left, right, bottom, top) {
      this.plot.x_range.setv({ start: left, end: right })
      this.plot.y_range.setv({ start: bottom, end: top })
    }

    // About the middle, never farther than the whole map nor closer than its ranges allow.
    scale(factor) {
      const ends = [this.plot.x_range, this.plot.y_range].map(({ start, end, min_interval }, axis) => {
        const whole = this.home[axis][1] - this.home[axis][0]
        const span = Math.min(whole, Math.max(min_interval, (end - start) * factor))
        let low = (start + end - span) / 2
        low = Math.max(this.home[axis][0], Math.min(this.home[axis][1] - span, low))
        return [low, low + span]
      })
      this.look(...ends.flat())
    }

    toggle(key, group) {
      if (this.hidden.has(group)) this.hidden.delete(group)
      else this.hidden.add(group)
      key.setAttribute("aria-pressed", String(!this.hidden.has(group)))
      this.update()
    }

    get zoom() {
      const { start, end } = this.plot.x_range
      return (this.home[0][1] - this.home[0][0]) / (end - start)
    }

    update() {
      const close = this.zoom >= CLOSER
      const apart = close || this.hidden.size > 0
      this.overview.visible = !apart || !this.layers.length
      for (const layer of this.layers) {
        const [kind, group] = layer.name.split("-")
        layer.visible = apart && (kind === "closer") === close && !this.hidden.has(Number(group))
      }
      if (this.names) filter(this.names, ({ group }) => Array.from(group, (one) => !this.hidden.has(one)))
      if (!this.points) return
      const shown = close ? this.thumbnails() : []
      const source = this.points.data_source
      const data = Object.fromEntries(Object.keys(this.images.data_source.data).map((name) => [name, []]))
      for (const { at, across, up } of shown) {
        for (const name of Object.keys(source.data)) data[name].push(source.data[name][at])
        data.url.push(thumbnail(source, source.data.sprite[at]))
        data.across.push(across)
        data.up.push(up)
      }
      this.images.data_source.data = data
      this.images.visible = this.frames.visible = shown.length > 0
      const group = source.data[this.points.tags[0]]
      const drawn = new Set(shown.map(({ at }) => at))
      const most = DOTS * Math.max(1, this.zoom) ** 2
      filter(this.points, () => Array.from(group, (one, at) => at < most && !this.hidden.has(one) && !drawn.has(at)))
    }

    // Of the images in view, in their order, those that cover none before them.
    thumbnails() {
      const source = this.points.data_source
      const sheet = sheetOf(source)
      if (!sheet.ready) return []
      const { x_range, y_range, inner_width, inner_height } = this.plot
      const longest = Math.min(THUMBNAIL[1], THUMBNAIL[0] * Math.sqrt(this.zoom / CLOSER))
      const scale = longest / Math.max(sheet.width, sheet.height)
      const [across, up] = [sheet.width * scale, sheet.height * scale]
      const [x, y, group] = [source.data.x, source.data.y, source.data[this.points.tags[0]]]
      const [wide, high] = [inner_width / (x_range.end - x_range.start), inner_height / (y_range.end - y_range.start)]
      const taken = new Map()
      const found = []
      for (let at = 0; at < x.length && found.length < MOST; at++) {
        if (this.hidden.has(group[at])) continue
        const [left, down] = [(x[at] - x_range.start) * wide, (y_range.end - y[at]) * high]
        if (!(left >= 0 && down >= 0 && left <= inner_width && down <= inner_height)) continue
        const [column, row] = [Math.floor(left / across), Math.floor(down / up)]
        let free = true
        for (let c = column - 1; c <= column + 1 && free; c++) {
          for (let r = row - 1; r <= row + 1 && free; r++) {
            const other = taken.get(`${c},${r}`)
            free = !other || Math.abs(other[0] - left) >= across + 2 || Math.abs(other[1] - down) >= up + 2
          }
        }
        if (!free) continue
        taken.set(`${column},${row}`, [left, down])
        found.push({ at, across, up })
      }
      return found
    }
  }

  function begin() {
    const waiting = new Set(document.querySelectorAll("figure.zoomable"))
    const look = () => {
      const roots = (window.Bokeh?.documents ?? []).flatMap((one) => one.roots())
      for (const figure of waiting) {
        const id = figure.querySelector("[data-root-id]").dataset.rootId
        const plot = roots.find((one) => one.id === id)
        if (!plot) continue
        waiting.delete(figure)
        figure.map = new ZoomableMap(figure, plot)
      }
      if (waiting.size) setTimeout(look, 50)
    }
    look()
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin)
  else begin()
})()
