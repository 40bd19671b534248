// Runs one of the scripts in resources/ims against the cluster of an environment.
void call(Map config = [:]) {
    Map settings = [script: '', attempts: 1, kubeconfig: 'ims-kubeconfig-' + params.ENVIRONMENT] + config
    if (!settings.script) {
        error 'imsOnCluster: script must name one of the scripts in resources/ims, such as diff'
    }
    withCredentials([file(credentialsId: settings.kubeconfig, variable: 'KUBECONFIG')]) {
        retry(settings.attempts) {
            sh(label: settings.script, script: libraryResource('ims/' + settings.script + '.sh'))
        }
    }
}
