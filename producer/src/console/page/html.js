// The templates of the pages. Every text in them is shown as text, whatever it contains.
import htm from 'htm'
import { h } from 'preact'

export const html = htm.bind(h)
