// Scans the images that run in the cluster for known vulnerabilities, and lists their packages.
void call(Map config = [:]) {
    Map settings = [required: false, severity: 'HIGH,CRITICAL', trivy: '0.68.2'] + config
    String notScanned = "the images were not scanned: there is no trivy ${settings.trivy} on this agent"
    int status = 0
    withEnv(["SEVERITY=${settings.severity}", "TRIVY_VERSION=${settings.trivy}"]) {
        status = sh(label: 'Scan the images', script: libraryResource('ims/scan.sh'), returnStatus: true)
    }
    switch (status) {
        case 0:
            break
        case 3:
            if (settings.required) {
                error notScanned
            }
            echo "WARNING: ${notScanned}"
            currentBuild.description = [currentBuild.description, notScanned].findAll().join('; ')
            break
        case 10:
            error "an image has known vulnerabilities (${settings.severity}) for which there is a fix, see above"
        default:
            error "the scan itself failed (exit code ${status})"
    }
}
