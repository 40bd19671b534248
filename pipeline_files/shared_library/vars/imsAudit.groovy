// Checks the npm packages in the images for known vulnerabilities.
void call(Map config = [:]) {
    Map settings = [required: false, severity: 'high'] + config
    String notAudited = 'the npm packages were not audited: the registry did not respond to npm audit'
    int status = 0
    withEnv(["SEVERITY=${settings.severity}"]) {
        status = sh(label: 'Audit the packages', script: libraryResource('ims/audit.sh'), returnStatus: true)
    }
    switch (status) {
        case 0:
            break
        case 3:
            if (settings.required) {
                error notAudited
            }
            echo "WARNING: ${notAudited}"
            currentBuild.description = notAudited
            break
        case 10:
            error "an npm package has known vulnerabilities (${settings.severity} or worse), see above"
        default:
            error "the audit itself failed (exit code ${status})"
    }
}
