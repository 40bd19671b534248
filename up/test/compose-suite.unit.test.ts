// What `npm run up` passes to docker compose: it exposes nothing that plain `docker compose up` does not.
import { describe, expect, it } from '@jest/globals'
import { composeEnvironment, composeUp } from '../src/suite/compose-suite.ts'

describe('with docker compose', () => {
  it.each([{}, { HTTP_HOST: '127.0.0.1' }, { HTTP_HOST: 'localhost' }])(
    'changes neither address nor host names on loopback: %j',
    (environment) => {
      expect(composeEnvironment(environment)).toEqual({ ...environment, PORT: '5000' })
    },
  )

  it('accepts any host name when not on loopback, unless host names are given', () => {
    const HTTP_HOST = '0.0.0.0'
    expect(composeEnvironment({ HTTP_HOST })).toMatchObject({ HTTP_ADDRESS: HTTP_HOST, HTTP_ALLOWED_HOSTS: '*' })
    expect(composeEnvironment({ HTTP_HOST, HTTP_ALLOWED_HOSTS: 'shop' })).toMatchObject({ HTTP_ALLOWED_HOSTS: 'shop' })
  })

  it('starts nothing when not on loopback until API keys are decided', async () => {
    const starting = composeUp({ HTTP_HOST: '0.0.0.0' }, { detach: true, stop: AbortSignal.abort() })
    await expect(starting).rejects.toThrow('HTTP_HOST=0.0.0.0 is not a loopback address.')
  })
})
