// Applies decorators without a compiler. The peer is plain JavaScript, so that it needs no build step.
import 'reflect-metadata'

/** Decorates a class. */
export function classOf(target, ...decorators) {
  for (const decorator of decorators) decorator(target)
  return target
}

/** Decorates a method and its parameters. `types` are what TypeScript would emit for the parameters. */
export function method({ prototype }, name, decorators, parameters = [], types = []) {
  Reflect.defineMetadata('design:paramtypes', types, prototype, name)
  parameters.forEach((decorator, index) => {
    decorator(prototype, name, index)
  })
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)
  for (const decorator of decorators) decorator(prototype, name, descriptor)
}
