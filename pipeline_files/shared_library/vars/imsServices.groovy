// Finds the services of the commit that is checked out.
void call(Map config = [:]) {
    Map settings = [script: 'services'] + config
    String script = libraryResource('ims/' + settings.script + '.sh')
    env.SERVICES = sh(label: 'Find the services', script: script, returnStdout: true).trim()
}
