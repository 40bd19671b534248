// Small plots on a canvas. The page loads this module when it shows the first plot.
import uPlot from 'uplot'

const HEIGHT_PX = 120
const SHOWN_S = 300
const clock = (second) =>
  new Date(second * 1_000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })

/** Creates a line plot in `element`, in the colour of its text. `draw` takes times in seconds, and values. */
export function plotIn(element) {
  // The colours are read at each drawing, because the user can switch between the light and the dark theme.
  const colour = () => getComputedStyle(element).color
  const quiet = () => getComputedStyle(element.parentElement).color
  const axis = { stroke: quiet, grid: { stroke: quiet, width: 0.2 }, ticks: { show: false } }
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_, __, last) => [last - SHOWN_S, last] },
        y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
      },
      axes: [
        { ...axis, values: (_, times) => times.map(clock) },
        { ...axis, size: 60 },
      ],
      series: [{}, { stroke: colour, width: 2 }],
    },
    [[], []],
    element,
  )
  const observer = new ResizeObserver(([{ contentRect }]) =>
    plot.setSize({ width: contentRect.width, height: HEIGHT_PX }),
  )
  observer.observe(element)
  return {
    draw: (times, values) => plot.setData([times, values]),
    destroy: () => {
      observer.disconnect()
      plot.destroy()
    },
  }
}
