// Rolls back a failed deployment, and reports the result.
void call(Map config = [:]) {
    Map settings = [script: 'rollback', attempts: 3, minutes: 30] + config
    String what = "the deployment of ${params.TAG} to ${params.ENVIRONMENT}"
    echo "ROLLING BACK: ${what} failed"
    try {
        timeout(time: settings.minutes, unit: 'MINUTES') {
            imsOnCluster(script: settings.script, attempts: settings.attempts)
        }
    } catch (any) {
        currentBuild.description = 'failed, AND NOT ROLLED BACK'
        echo "ROLLBACK FAILED: ${what} may have left two versions; what to do now: docs/jenkins.md"
        throw any
    }
    currentBuild.description = 'failed, rolled back'
    echo "ROLLED BACK: ${what} failed; the Deployments run their previous revisions again"
}
