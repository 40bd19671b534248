// Checks out the commit, and names the build after it.
void call(Map config = [:]) {
    Map settings = [attempts: 3] + config
    retry(settings.attempts) {
        checkout scm
    }
    imsServices()
    env.IMS_TAG = sh(label: 'Read the commit id', script: 'git rev-parse HEAD', returnStdout: true).trim()
    currentBuild.displayName = "#${env.BUILD_NUMBER} ${env.IMS_TAG.take(12)}"
}
