// Writes the list of npm packages in the images as CycloneDX.
void call(Map config = [:]) {
    Map settings = [file: 'reports/sbom-npm.cdx.json'] + config
    withEnv(["SBOM=${settings.file}"]) {
        sh(label: 'List the packages', script: libraryResource('ims/sbom.sh'))
    }
}
