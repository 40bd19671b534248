// The templates of the pages. Values are shown as text, never as HTML.
import htm from 'htm'
import { h } from 'preact'

export const html = htm.bind(h)
